"""The scripts of the data sets, with an akyolo that only notes what it is told."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
NOTES = '#!/bin/sh\nfor word; do printf "<%s>" "$word"; done >> told\necho >> told\n'


@pytest.fixture
def told(tmp_path):
    """Run a script; what akyolo was told, a line a call."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for file, text in {"scripts/setup": "#!/bin/sh\n", ".venv/bin/akyolo": NOTES}.items():
        (tmp_path / file).write_text(text)
        (tmp_path / file).chmod(0o755)

    def run(script, *words, **environment):
        for name in (script, "from-archives"):
            shutil.copy(SCRIPTS / name, tmp_path / "scripts" / name)
        subprocess.run([tmp_path / "scripts" / script, *words], env=os.environ | environment, check=True)
        return (tmp_path / "told").read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("script", "tables", "boxes"),
    [("coco", "146", ""), ("voc", "25", "<--boxes><paper>"), ("visdrone", "37", "")],
)
def test_prepare_then_every_table_of_the_data_set(told, script, tables, boxes):
    first, *others = told(script)
    assert first == f"<data><prepare><{script}><--root><data/{script}>{boxes}"
    data = f"<data=data/{script}/data.yaml>"
    assert others == [f"<reproduce><--table><{table}>{data}" for table in tables]


def test_tables_models_and_arguments(told):
    found = told("visdrone", "7", "cfg/yolov8n-akconv5.yaml", "epochs=2", "name=two words", ARCHIVES="my archives")
    data, best = "<data=data/visdrone/data.yaml>", "runs/visdrone/yolov8n-akconv5"
    assert found == [
        f"<data><prepare><visdrone><--root><data/visdrone><--from><{Path.cwd()}/my archives>",
        f"<reproduce><--table><7>{data}<epochs=2><name=two words>",
        f"<train><cfg/yolov8n-akconv5.yaml><save_dir={best}>{data}<epochs=2><name=two words>",
        f"<val><{best}/weights/best.pt>{data}<protocol=yolov5><conf=0.001><iou=0.6><max_det=300>",
    ]


def test_pre_commit_calls_the_tools_of_scripts_check():
    config = yaml.safe_load((SCRIPTS.parent / ".pre-commit-config.yaml").read_text())
    commands = [
        hook["entry"].removeprefix("python -m ") for repository in config["repos"] for hook in repository["hooks"]
    ]
    (tools,) = re.findall(r"for tool in (.*); do", (SCRIPTS / "check").read_text())
    assert commands == [*shlex.split(tools), "scripts/check"]


# Python, and the commands of an environment that it makes: notes what it is told, makes what the script looks for
ANY_TOOL = """\
#!/bin/sh
tool=$(basename "$0")
echo "$tool $*" >> "$TOLD"
case "$tool $*" in *"$FAILING"*) echo "it fails"; exit 1 ;; esac
case "$tool $*" in
    *"-t sdist -d "*)
        mkdir -p akyolo-1.2.3 && cp -r akyolo docs LICENSE akyolo-1.2.3
        for path in akyolo_command.py cfg data runs/records scripts tests CHANGELOG.md CITATION.cff; do
            mkdir -p "akyolo-1.2.3/$path"
        done
        tar -czf "$7/akyolo-1.2.3.tar.gz" akyolo-1.2.3 && rm -r akyolo-1.2.3 ;;
    *"-t wheel -d "*) touch "$7/akyolo-1.2.3-py3-none-any.whl" ;;
    *"zipfile -l"*)
        printf '%s 2026 1\\n' File akyolo/py.typed akyolo_command.py akyolo-1.2.3.dist-info/METADATA $MORE ;;
    *"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/akyolo" ;;
    "akyolo --version") echo 1.2.3 ;;
    "akyolo train"*) mkdir -p trained/weights && echo x | tee trained/weights/best.pt > trained/results.csv ;;
esac
"""
RELEASE = {
    "pyproject.toml": '[project]\nversion = "1.2.3"\n',
    "akyolo/__init__.py": '__version__ = "1.2.3"\n',
    "CITATION.cff": "version: 1.2.3\n",
    "CHANGELOG.md": "# Changelog\n\n## [1.2.3] - 2026-01-31\n",
    "docs/index.md": "",
    "LICENSE": "",
}


@pytest.fixture
def release(tmp_path):
    """Run scripts/release-check on a small checkout; returns its exit code, its lines and what its tools were told."""
    checkout, told = tmp_path / "checkout", tmp_path / "told"
    for name, text in RELEASE.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    (checkout / "scripts").mkdir()
    shutil.copy(SCRIPTS / "release-check", checkout / "scripts")
    tool = tmp_path / "python"
    # the environment of a user is empty: the tools know by themselves where to note, and what fails
    tool.touch(mode=0o755)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=checkout, check=True)

    def run(*words, failing="nothing", more="", **files):
        known = f"#!/bin/sh\nTOLD={shlex.quote(str(told))} FAILING={shlex.quote(failing)} MORE={shlex.quote(more)}\n"
        tool.write_text(ANY_TOOL.replace("#!/bin/sh\n", known))
        for name, text in files.items():
            (checkout / name.replace("_", ".")).write_text(text)
        environment = os.environ | {"PYTHON": str(tool), "TMPDIR": str(tmp_path)}
        script = [checkout / "scripts" / "release-check", *words]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == "" and sorted(tmp_path.glob("tmp.*")) == []  # it leaves no folder behind
        return done.returncode, done.stdout.splitlines(), told.read_text().splitlines()

    return run


def failed(lines):
    return [line.removeprefix("FAILED  ") for line in lines if line.startswith("FAILED")]


def test_a_release_that_holds_is_one_line_a_check(release):
    code, lines, told = release("fraction=0.1", "name=two words")
    assert code == 0 and len(lines) == 17 and all(line.startswith("ok      ") for line in lines), lines
    assert "akyolo train cfg/yolov8n-akconv5.yaml epochs=1 save_dir=trained fraction=0.1 name=two words" in told
    installed = [line.rpartition("/")[2] for line in told if "pip install" in line]
    assert installed == ["akyolo-1.2.3-py3-none-any.whl", "python -m pip install --quiet mypy"]


@pytest.mark.parametrize(
    ("failing", "check", "lines"),
    [
        ("-t sdist", "source archive is built", 4),
        ("-t wheel", "wheel is built from it", 7),
        ("-m venv", "empty environment", 9),
        ("pip install --quiet /", "wheel is installed there", 10),
        ("pip check", "requirements are met", 17),
        ("akyolo --version", "akyolo --version", 17),
        ("names.py", "every public name is there", 17),
        ("akyolo train", "main job for one epoch", 17),
        ("akyolo info", "its weights open", 17),
        ("mypy --strict", "a user's program has the right types", 17),
    ],
)
def test_a_check_that_fails_is_named_with_what_it_printed(release, failing, check, lines):
    code, out, _ = release(failing=failing)
    assert code == 1 and failed(out) == [check]
    assert len([line for line in out if not line.startswith("        ")]) == lines
    assert "        it fails" in out


@pytest.mark.parametrize(
    "files",
    [
        {"CITATION_cff": "version: 1.2.2\n"},
        {"CHANGELOG_md": "# Changelog\n\n## [1.3.0] - unreleased\n\n## [1.2.3] - 2026-01-31\n"},
        {"CHANGELOG_md": "# Changelog\n\n## [1.2.3] - soon\n"},
        {"CHANGELOG_md": "# Changelog\n\n## [10203] - 2026-01-31\n"},
    ],
    ids=str,
)
def test_versions_that_disagree_are_named(release, files):
    code, lines, _ = release(**files)
    assert code == 1 and failed(lines)[0].startswith("versions agree: 1.2.3 in ") and lines[1].startswith("        ")
    assert failed(lines)[1:] == ["nothing is uncommitted"]


def test_a_wheel_with_more_in_it_is_named(release):
    code, lines, _ = release(more="tests/test_all.py")
    assert code == 1 and failed(lines) == ["wheel has the package, the command and nothing else"]
    assert "        tests/test_all.py" in lines

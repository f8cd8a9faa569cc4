"""What the tests of commands share."""

import pytest

from akyolo.cli import main


@pytest.fixture
def fails(in_tmp, capfd):
    """Run a command that must fail; returns its message."""

    def run(*words):
        before = sorted(in_tmp.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            main(words)
        out, err = capfd.readouterr()
        assert stop.value.code == 2
        assert all(not line or line.startswith("akyolo: ") for line in out.splitlines())  # which file a name means
        assert err.startswith("akyolo: ") and err.count("\n") <= 4 and "Traceback" not in err
        assert sorted(in_tmp.rglob("*")) == before
        return err

    return run

"""The site in a real browser: narrow and wide, light and dark."""

import json
import os
import queue
import re
import shutil
import signal
import subprocess

import pytest

from tests.helpers.served import served

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")
SECONDS = 300  # until the browser must have looked at everything
WIDTHS = (360, 1300)  # px: a telephone, a desk
# Opens each page in frames of these widths, one after the other, and posts what is to be seen there.
PROBE = """<!doctype html><body><script>
const pages = PAGES, widths = WIDTHS, result = []
async function look(page, width) {
  const frame = document.createElement("iframe")
  frame.style.cssText = `width:${width}px;height:900px;border:0`
  frame.src = page
  const loaded = new Promise(done => frame.addEventListener("load", done))
  document.body.append(frame)
  await loaded
  const seen = frame.contentDocument, view = frame.contentWindow
  const images = [...seen.images].filter(image => { image.loading = "eager"; return true })
  await Promise.all(images.map(image => image.decode().catch(() => {})))
  result.push({
    page, width,
    overflow: seen.documentElement.scrollWidth - seen.documentElement.clientWidth,
    broken: images.filter(image => !image.naturalWidth).map(image => image.src),
    foreign: view.performance.getEntriesByType("resource").map(entry => entry.name)
      .filter(name => !name.startsWith(location.origin)),
    scheme: seen.body.dataset.mdColorScheme,
    background: view.getComputedStyle(seen.body).backgroundColor,
    title: seen.querySelector("h1")?.textContent ?? "",
  })
  frame.remove()
}
(async () => {
  for (const page of pages) for (const width of widths) await look(page, width)
  fetch("/", {method: "POST", body: JSON.stringify(result)})
})()
</script></body>"""


@pytest.fixture(scope="module", params=["light", "dark"])
def seen(request, site, tmp_path_factory):
    """Return the preferred scheme, what the browser saw of each page at each width, and what it said on its console."""
    if CHROMIUM is None:
        pytest.skip("the site is looked at in Debian's chromium: apt-get install -y chromium")
    tmp_path = tmp_path_factory.mktemp("browser")
    pages = sorted(str(path.relative_to(site)) for path in site.rglob("*.html") if path.name != "404.html")
    probe = site / f"probe-{request.param}.htm"
    probe.write_text(PROBE.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(WIDTHS)), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--remote-debugging-port=0"]
    options += [f"--blink-settings=preferredColorScheme={int(request.param == 'light')}", f"--user-data-dir={tmp_path}"]
    said = tmp_path / "said.txt"
    with served(site) as server, said.open("w") as stderr:
        command = [CHROMIUM, *options, f"{server.address}/{probe.name}"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        try:
            looks = json.loads(server.posted.get(timeout=SECONDS))
        except queue.Empty:
            pytest.fail(f"nothing came from the browser in {SECONDS} s: {said.read_text()[-2000:]}")
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
    assert len(looks) == len(pages) * len(WIDTHS) > 40
    return request.param, looks, [line for line in said.read_text().splitlines() if ":CONSOLE" in line]


def test_pages_are_not_wider_than_the_window(seen):
    assert not [(look["page"], look["width"], look["overflow"]) for look in seen[1] if look["overflow"] > 0]


def test_images_load_and_nothing_is_asked_of_others(seen):
    assert not [look for look in seen[1] if look["broken"] or look["foreign"]]


def test_the_console_stays_empty(seen):
    assert not seen[2]


def test_the_palette_follows_the_system(seen):
    scheme, looks, _ = seen
    assert {look["scheme"] for look in looks} == {"default" if scheme == "light" else "slate"}
    brightness = {sum(map(int, re.findall(r"\d+", look["background"])[:3])) / 3 for look in looks}
    assert all((value > 128) == (scheme == "light") for value in brightness)


def test_every_page_has_a_title(seen):
    assert not [look["page"] for look in seen[1] if not look["title"].strip()]

"""A report in a real browser, as wide as a phone and as a desk: nothing is cut off, missing or fetched."""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import scsystems as scs

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")

# what a frame of a given width makes of a page
PROBE = """<!doctype html><meta charset="utf-8"><iframe id="page" src="report.html" width="{width}" height="900">
</iframe><pre id="found"></pre><script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const page = frame.contentDocument;
  document.getElementById("found").textContent = JSON.stringify({{
    needed: page.documentElement.scrollWidth,
    width: page.documentElement.clientWidth,
    height: page.documentElement.scrollHeight,
    pictures: [...page.images].map(i => i.naturalWidth),
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name)
      .filter(name => !name.startsWith("data:")),
  }});
}};
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=240, n_genes=200, n_types=3, seed=0),
        "system",
        "donor",
        min_cells=1,
    )
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    model = scs.SysVI(adata, n_hidden=16, n_layers=1)
    model.train(max_epochs=2, verbose=False)
    model.report(folder / "report.html", label_key="cell_type")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_fits_and_is_complete(folder, address, width):
    (folder / "probe.html").write_text(PROBE.format(width=width), encoding="utf8")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"{address}/probe.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)[1]))
    assert width - 20 <= found["width"] <= width
    assert found["needed"] <= found["width"]
    assert found["height"] > 1500
    assert len(found["pictures"]) == 2
    assert min(found["pictures"]) > 300
    assert found["fetched"] == []

"""report.html in a real browser: no console error, everything there, readable on a phone."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from browser import needs_chromium, open_page
from synthetic import make_report

from edgecompress.report.html import render_html

pytestmark = needs_chromium
LONG = "backbone.with_a_name_that_has_no_place_to_break_" * 3
HOSTILE = "<script>document.documentElement.id='pwned';console.log('pwned')</script>"

PHONE = """<!doctype html><body style="margin:0">
<iframe src="report.html" style="width:390px;height:800px;border:0"></iframe>
<pre id="seen"></pre>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const box = (id) => page.getElementById(id).getBoundingClientRect();
  const text = page.querySelector("#chart-layers text");
  document.getElementById("seen").textContent = JSON.stringify({
    scrollWidth: page.documentElement.scrollWidth,
    charts: [...page.querySelectorAll("figure svg")].map((chart) => {
      const { width, height } = chart.getBoundingClientRect();
      return [chart.id, width, height];
    }),
    verdict: page.querySelector("#verdict strong").innerText,
    verdictBottom: box("verdict").bottom,
    chartText: text.getBoundingClientRect().height,
    background: page.defaultView.getComputedStyle(page.body).backgroundColor,
  });
});
</script>"""


def seen(folder: Path, *flags: str) -> dict[str, object]:
    (folder / "phone.html").write_text(PHONE)
    opened = open_page(folder / "phone.html", *flags)
    assert opened.console == []
    found = re.search(r'<pre id="seen">(.*?)</pre>', opened.dom)
    assert found is not None
    return json.loads(unescape(found[1]))


@pytest.mark.parametrize("name", ["digits", HOSTILE])
def test_it_opens_without_a_console_error(tmp_path: Path, name: str) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(make_report(name=name, sent=True)))
    opened = open_page(page)
    assert opened.console == []
    assert '<html lang="en"' in opened.dom
    assert "pwned" not in re.sub(r"&lt;script&gt;.*?&lt;/script&gt;", "", opened.dom)
    assert 'data-decision="ship"' in opened.dom
    assert 'id="pushed"' in opened.dom
    for chart in ("tradeoff", "latency", "layers", "training"):
        assert re.search(rf'<svg [^>]*id="chart-{chart}"', opened.dom)


def test_the_console_is_really_read_and_requests_are_really_blocked(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    html = render_html(make_report())
    page.write_text(html.replace("</main>", '<img src="https://synthetic.invalid/x.png"></main>'))
    (line,) = open_page(page).console
    assert "Content Security Policy" in line


@pytest.mark.parametrize("name", ["digits", LONG])
def test_it_fits_a_phone(tmp_path: Path, name: str) -> None:
    (tmp_path / "report.html").write_text(render_html(make_report(name=name, sent=True)))
    page = seen(tmp_path)
    assert page["scrollWidth"] <= 390
    assert page["verdict"] == "SHIP"
    assert page["chartText"] >= 8
    assert len(page["charts"]) == 4
    for _, width, height in page["charts"]:
        assert 300 <= width <= 390
        assert height >= 150


def test_the_verdict_is_seen_without_scrolling(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_html(make_report()))
    assert seen(tmp_path)["verdictBottom"] <= 800


def test_it_follows_the_wish_for_dark(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_html(make_report()))
    assert seen(tmp_path)["background"] == "rgb(244, 246, 248)"
    dark = seen(tmp_path, "--blink-settings=preferredColorScheme=0")
    assert dark["background"] == "rgb(13, 17, 23)"

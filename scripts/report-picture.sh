#!/bin/sh
# The picture in the README, from a run's page: scripts/report-picture.sh runs/ID/report.html
set -eu

page=$(realpath "$1")
picture=docs/images/report.png
cd "$(dirname "$0")/.."
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    echo "report-picture.sh: no chromium on PATH; scripts/install-test-tools.sh installs it" >&2
    exit 2
}
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --log-level=3 --window-size=960,1420 \
    --screenshot="$picture" "file://$page"

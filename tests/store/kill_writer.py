"""Writes to the store in argv[1] until it is killed; says on stdout what it was promised."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from reports import synthetic_report

from edgecompress.store import Store, atomic_write


def main(root: Path, name: str) -> None:
    store = Store(root)
    for count in range(1_000_000):
        key = f"{name}-{count}"
        run_id = store.start_run("synthetic", "0" * 64)
        atomic_write(store.work_dir(key) / "checkpoint", b"c" * 50_000)
        content = key.encode() * 20_000
        sha256 = store.put(content)
        store.record_stage(key, "write", 0.1, {"count": count}, {"blob": sha256})
        store.record_run_stage(run_id, key)
        store.copy_to(sha256, store.run_dir(run_id) / "model.bin")
        store.finish_run(run_id, synthetic_report(run_id), "<html></html>")
        print(json.dumps({"key": key, "sha256": sha256, "run": run_id}), flush=True)


main(Path(sys.argv[1]), sys.argv[2])

"""A small web bundle with the file names of `flutter build web --release --no-web-resources-cdn`."""

from __future__ import annotations

import json
from pathlib import Path

SHELL = """<!DOCTYPE html>
<html><head><base href="/"><meta charset="UTF-8"><title>OptiFit</title>
<link rel="manifest" href="manifest.json">
</head><body><script src="flutter_bootstrap.js" async></script></body></html>
"""
FILES = (
    "assets/AssetManifest.bin",
    "assets/AssetManifest.bin.json",
    "assets/FontManifest.json",
    "assets/NOTICES",
    "assets/fonts/MaterialIcons-Regular.otf",
    "assets/packages/cupertino_icons/assets/CupertinoIcons.ttf",
    "assets/shaders/ink_sparkle.frag",
    "canvaskit/canvaskit.js",
    "canvaskit/canvaskit.wasm",
    "canvaskit/chromium/canvaskit.js",
    "canvaskit/chromium/canvaskit.wasm",
    "canvaskit/skwasm.js",
    "canvaskit/skwasm.wasm",
    "favicon.png",
    "flutter.js",
    "flutter_bootstrap.js",
    "flutter_service_worker.js",
    "icons/Icon-192.png",
    "icons/Icon-maskable-512.png",
    "main.dart.js",
    "manifest.json",
)


def text(name: str, *, release: str) -> str:
    """What is in the file `name` of FILES; every file differs from release to release."""
    line = f"{name} of {release}"
    return json.dumps({"name": line * 100}) if name.endswith(".json") else f"// {line}\n" * 100


def write(folder: Path, *, release: str) -> None:
    """Write the bundle into `folder`."""
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(name, release=release))
    (folder / "index.html").write_text(SHELL.replace("OptiFit", f"OptiFit {release}"))
    (folder / "version.json").write_text(json.dumps({"app_name": "optifit", "version": release}))

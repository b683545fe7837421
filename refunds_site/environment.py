"""Where settings come from: real variables win over .env; NAME_FILE names a file that holds the value."""

from __future__ import annotations

import os
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

ENV = environ.FileAwareEnv()
if os.environ.get("READ_DOT_ENV", "on").lower() not in ("off", "false", "no", "0"):
    ENV.read_env(BASE_DIR / ".env")

DEBUG = ENV.bool("DEBUG", default=False)

"""The files in a runtime's directory, besides one socket per process."""

LOG_NAME = "log"
LOCK_NAME = "lock"
CONFIG_NAME = "config.json"

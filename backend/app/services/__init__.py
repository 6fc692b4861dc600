"""The rules: functions that take a session and know no HTTP."""

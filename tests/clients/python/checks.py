"""Shared by the Python clients."""


def check(name, expected, seen):
    if expected == seen:
        print("ok -", name)
    else:
        print(f"FAIL - {name}: expected {expected!r}, got {seen!r}")

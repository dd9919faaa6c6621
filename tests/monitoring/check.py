"""Checks that dashboard and alerts query only metrics that are served: check.py PLAIN OPENMETRICS FOLDER EXPRS.

PLAIN and OPENMETRICS are responses of /metrics, FOLDER has dashboard and rules. Writes the dashboard's
queries as rules to EXPRS, for promtool to parse.
"""

import json
import re
import sys

plain, openmetrics, folder, exprs = sys.argv[1:]


def families(path):
    with open(path) as text:
        return set(re.findall(r"^# TYPE (\S+) ", text.read(), re.M))


def series(path):
    names = set()
    for name in families(path):
        names |= {name} | {name + suffix for suffix in ("_bucket", "_count", "_sum")}
    return names


with open(f"{folder}/grafana-dashboard.json") as file:
    dashboard = json.load(file)
with open(f"{folder}/hallpass.rules.yml") as file:
    rules = file.read()

targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
queries = [target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*") for target in targets]
assert len(queries) > 10, "a dashboard without queries"
queried = set(re.findall(r"\bhallpass_\w+", " ".join(queries) + rules))
missing = queried - series(plain)
if missing:
    sys.exit(f"not served: {', '.join(sorted(missing))}")

# Both formats have the same families; a counter's family is named without `_total`, an info's without `_info`.
short = {re.sub(r"_(total|info)$", "", name) for name in families(plain)}
if short != families(openmetrics):
    sys.exit(f"the formats differ: {sorted(short ^ families(openmetrics))}")

with open(exprs, "w") as file:
    groups = [{"name": "dashboard", "rules": [{"record": f"q{n}", "expr": e} for n, e in enumerate(queries)]}]
    json.dump({"groups": groups}, file)
print(f"ok - dashboard and alerts query {len(queried)} series, all served")

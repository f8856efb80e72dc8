"""What schemathesis needs to know of the installation that it calls.

The description's examples name things that are not there (`key_000000001`), so that most calls would end with 404. EXAMPLES is
a JSON object: for each such text those of the installation that are tried instead, in turn; `usr_000000001 /v1/people` counts
for paths that begin so. KEPT is a list of ids that must live to the end: the key that it calls with, and that key's owner.
Whatever it finds out about them, it asks for something else instead.
"""

import itertools
import json
import os

import schemathesis

EXAMPLES = json.loads(os.environ["EXAMPLES"])
KEPT = json.loads(os.environ["KEPT"])
turn = itertools.count()
# The policy in force and its version, which change while they are tried.
policy = {}


def real(text, path):
    if text in KEPT:
        return text.split("_")[0] + "_zzzzzzzzz"
    own = next((EXAMPLES[key] for key in EXAMPLES if key.startswith(text + " ") and path.startswith(key.split(" ")[1])), None)
    pool = own or EXAMPLES.get(text)
    return pool[next(turn) % len(pool)] if pool else text


def with_real(value, path):
    if isinstance(value, str):
        return real(value, path)
    if isinstance(value, list):
        return [with_real(item, path) for item in value]
    if isinstance(value, dict):
        return {name: with_real(item, path) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    path = case.operation.path
    for part in ("path_parameters", "query", "body"):
        before = getattr(case, part)
        if isinstance(before, (dict, list)):
            after = with_real(before, path)
            if after != before:
                setattr(case, part, after)
    if path.startswith("/v1/policy") and policy:
        if case.headers and case.headers.get("If-Match") == '"7"':
            case.headers["If-Match"] = policy["etag"]
        if isinstance(case.body, dict) and case.body.get("policy") == {}:
            case.body = {**case.body, "policy": policy["document"]}


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.path == "/v1/policy" and case.method == "GET" and response.status_code == 200:
        policy["document"] = response.json()["policy"]
    if case.operation.path in ("/v1/policy", "/v1/policy/rollback") and "etag" in response.headers:
        policy["etag"] = response.headers["etag"][0]


@schemathesis.serializer("application/secevent+jwt")
def security_event(context, value):
    return value if isinstance(value, bytes) else str(value).encode()

"""The client of the official Python SDK against an MCP server behind the gate.

SERVER is the MCP server's URL at the gate; ISSUER, EMAIL and PASSWORD are for the browser's part; CLIENT_ID is a registered
client, a document's URL, or empty: then it registers itself; KEPT names a file in which tokens outlive the process. With
PHASE=first it connects, is let in by a person, steps up for a second tool; with PHASE=second, in another process, it goes on
with what was kept; with PHASE=expired the app knows that its token has ended, and the SDK, which has forgotten the issuer,
refreshes at the gate. Ends with code 0 and the line "all good" if everything held.
"""

import asyncio
import html
import json
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

ISSUER, SERVER, EMAIL, PASSWORD = (os.environ[name] for name in ("ISSUER", "SERVER", "EMAIL", "PASSWORD"))
CLIENT_ID, PHASE, KEPT = os.environ["CLIENT_ID"], os.environ["PHASE"], Path(os.environ["KEPT"])
REDIRECT = "http://127.0.0.1:53683/callback"


class Storage:
    """Keeps what the SDK gives it, in a file."""

    def __init__(self) -> None:
        self.kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        if CLIENT_ID and not CLIENT_ID.startswith("https://"):
            client = {"client_id": CLIENT_ID, "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
            self.kept.setdefault("client", client)

    async def get_tokens(self) -> OAuthToken | None:
        return OAuthToken.model_validate(self.kept["tokens"]) if "tokens" in self.kept else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.keep("tokens", tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return OAuthClientInformationFull.model_validate(self.kept["client"]) if "client" in self.kept else None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.keep("client", client_info)

    def keep(self, name: str, value: OAuthToken | OAuthClientInformationFull) -> None:
        self.kept[name] = value.model_dump(mode="json", exclude_none=True)
        KEPT.touch(mode=0o600)
        KEPT.write_text(json.dumps(self.kept))


class Person:
    """A browser and whoever sits in front of it."""

    def __init__(self) -> None:
        self.http = httpx2.AsyncClient()
        self.requests: list[str] = []

    async def open(self, url: str) -> None:
        self.requests.append(url)

    async def callback(self) -> AuthorizationCodeResult:
        answer = await self.http.get(self.requests[-1])
        for _ in range(8):
            location = answer.headers.get("location")
            if location and location.startswith(REDIRECT):
                query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
                return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query["iss"])
            if location:
                answer = await self.http.get(urljoin(ISSUER, location))
                continue
            assert answer.status_code == 200, answer.text
            fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text)
            form = {name: html.unescape(value) for name, value in fields}
            if "return_to" in form:
                path, form = "/login", {**form, "email": EMAIL, "password": PASSWORD}
            else:
                path, form = "/authorize", {**form, "decision": "allow"}
            answer = await self.http.post(urljoin(ISSUER, path), data=form, headers={"origin": ISSUER})
        raise AssertionError("the browser never came back")


async def main() -> None:
    person, storage = Person(), Storage()
    metadata = OAuthClientMetadata(client_name="Python client", redirect_uris=[REDIRECT], token_endpoint_auth_method="none")
    document = CLIENT_ID if CLIENT_ID.startswith("https://") else None
    auth = OAuthClientProvider(SERVER, metadata, storage, person.open, person.callback, client_metadata_url=document)

    before = storage.kept.get("tokens")
    if PHASE == "expired":
        auth.context.token_expiry_time = 1

    async def call(client: Client, name: str, **arguments: str) -> str:
        return (await client.call_tool(name, arguments)).content[0].text

    async with httpx2.AsyncClient(auth=auth) as http, Client(streamable_http_client(SERVER, http_client=http)) as client:
        modern = client.protocol_version >= "2026-07-28"
        if PHASE == "first":
            assert await call(client, "read_memory", key="a") == "nothing"
            # The SDK steps up by itself, and asks for what it had as well.
            assert await call(client, "write_memory", key="a", value="b") == "kept"
            scopes = [set(parse_qs(urlsplit(url).query)["scope"][0].split()) for url in person.requests]
            # It adds offline_access where the authorization server knows it.
            first = {"memory:read", "offline_access"}
            everything = first | {"memory:write"} | (set() if modern else {"memory:delete"})
            assert scopes == [first, everything], scopes
            assert all(parse_qs(urlsplit(url).query)["resource"] == [SERVER] for url in person.requests)
            assert set(storage.kept["tokens"]["scope"].split()) == everything
        else:
            assert not person.requests, person.requests
        assert await call(client, "read_memory", key="a") == "b"
        assert len(person.requests) == (2 if PHASE == "first" else 0), person.requests
        assert (storage.kept["tokens"] != before) == (PHASE != "second")
    print("all good")


asyncio.run(main())

"""The tools of server.mjs once more, with the official Python SDK, which speaks revision 2026-07-28: stateless, and it refuses a
message whose headers and body disagree by itself. Listens on 127.0.0.1, any free port, and prints its URL."""

import socket

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.requests import Request
from starlette.responses import Response

server = MCPServer("memory", log_level="ERROR")
memories: dict[str, dict[str, str]] = {}


def memory_of(context: Context) -> dict[str, str]:
    """Who calls is what the gate says."""
    return memories.setdefault(context.request_context.request.headers["x-portcullis-subject"], {})


@server.tool()
def read_memory(key: str, context: Context) -> str:
    """Reads a note."""
    return memory_of(context).get(key, "nothing")


@server.tool()
def write_memory(key: str, value: str, context: Context) -> str:
    """Keeps a note."""
    memory_of(context)[key] = value
    return "kept"


@server.tool()
def delete_memory(key: str, context: Context) -> str:
    """Forgets a note."""
    return "forgotten" if memory_of(context).pop(key, None) else "nothing"


app = server.streamable_http_app(json_response=True, stateless_http=True)


async def behind_the_gate(scope, receive, send):
    """No token arrives here, and nobody without a name."""
    headers = Request(scope).headers if scope["type"] == "http" else {}
    if scope["type"] == "http" and ("authorization" in headers or "x-portcullis-subject" not in headers):
        return await Response("not through the gate", 500)(scope, receive, send)
    await app(scope, receive, send)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(behind_the_gate, log_level="error")).run(sockets=[listener])

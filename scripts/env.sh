# shellcheck shell=bash disable=SC2034
# Where the tools are. Source it (`. scripts/env.sh`); it prints nothing, installs nothing and takes well under a second.
#
# Exports
#   PORTCULLIS_TOOLS   our versioned tool cache (default: ~/.cache/portcullis/tools)
#   WASM_CARGO_PATH    folder with links cargo, rustc of a compiler that can build wasm32; empty: the usual ones can
#   NODE22             folder of the Node.js that wrangler needs
#   MCP_PYTHON         a Python with the package mcp, which the tests run
#   SCHEMATHESIS       the program schemathesis, which a test lets loose on the API
#   WASM_BINDGEN_BIN, WASM_OPT_BIN, ESBUILD_BIN   read by scripts/build-edge
#   PORTCULLIS_NGINX   the nginx that the tests run, if there is one: your own setting, PATH's, the system's, or ours
#   PORTCULLIS_CHROMIUM   the browser of the tests, if there is one: your own setting, or the first that is on PATH
# and puts our tools, and what npm installed, first on PATH.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export HOME="${HOME:-$(cd ~ && pwd)}"
export PORTCULLIS_TOOLS="${PORTCULLIS_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis/tools}"

# One place for versions. wasm-bindgen-cli must equal the wasm-bindgen in Cargo.lock.
WASM_BINDGEN_VERSION=0.2.130
WASM_PACK_VERSION=0.15.1
CARGO_DENY_VERSION=0.20.2
CARGO_MACHETE_VERSION=0.9.2
CARGO_NEXTEST_VERSION=0.9.143
TYPOS_VERSION=1.52.0
MCP_PYTHON_VERSION=2.3.0
SCHEMATHESIS_VERSION=4.32.5
WASM_TARGET=wasm32-unknown-unknown
# What wasm-opt inlines makes the module 8 % larger, gzipped; the compiler has inlined what is worth it.
WASM_OPT_SMALL=(-O3 --always-inline-max-function-size=0 --flexible-inline-max-function-size=0
  --one-caller-inline-max-function-size=0)

tool_dir() { echo "$PORTCULLIS_TOOLS/$1-$2"; }

has_std() { compgen -G "$1/libcore-*.rlib" >/dev/null && compgen -G "$1/libstd-*.rlib" >/dev/null; }

# A shell that was not started by a login may lack rustup's folder on PATH.
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
# With another HOME rustup's proxies find no toolchain: theirs is beside the folder they live in.
if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "$HOME/.rustup" ] && cargo_found="$(command -v cargo)"; then
  rustup_beside="$(dirname "$(dirname "$(dirname "$cargo_found")")")/.rustup"
  if [ -d "$rustup_beside/toolchains" ]; then export RUSTUP_HOME="$rustup_beside"; fi
fi

# The wasm32 compiler: the usual rustc when it has the target, else the one that `scripts/provision wasm` set up.
debian_wasm="$PORTCULLIS_TOOLS/debian-wasm/bin"
WASM_CARGO_PATH=""
if ! { command -v rustc >/dev/null && has_std "$(rustc --print target-libdir --target $WASM_TARGET 2>/dev/null)"; }; then
  # Only for the very compiler that std was built with: an upgrade makes it useless.
  if [ -x "$debian_wasm/rustc" ] && [ "$("$debian_wasm/rustc" -V)" = "$(cat "$debian_wasm/../std-is-for" 2>/dev/null)" ] &&
    has_std "$("$debian_wasm/rustc" --print target-libdir --target $WASM_TARGET)"; then
    WASM_CARGO_PATH="$debian_wasm"
  fi
fi
export WASM_CARGO_PATH

NPM_BIN="$ROOT/node_modules/.bin"
export NODE22="$NPM_BIN"
WASM_BINDGEN_BIN="$(tool_dir wasm-bindgen-cli $WASM_BINDGEN_VERSION)/bin/wasm-bindgen"
WASM_OPT_BIN="$NPM_BIN/wasm-opt"
ESBUILD_BIN="$NPM_BIN/esbuild"
export WASM_BINDGEN_BIN WASM_OPT_BIN ESBUILD_BIN
MCP_PYTHON="$(tool_dir mcp-python $MCP_PYTHON_VERSION)/bin/python"
export MCP_PYTHON
SCHEMATHESIS="$(tool_dir schemathesis $SCHEMATHESIS_VERSION)/bin/schemathesis"
export SCHEMATHESIS

# A setting of yours stays; a browser that is not there is left to `scripts/provision browser`.
if [ -z "${PORTCULLIS_CHROMIUM:-}" ]; then
  for browser in chromium chromium-browser google-chrome google-chrome-stable; do
    if PORTCULLIS_CHROMIUM="$(command -v "$browser")"; then break; fi
  done
  unset browser
fi
if [ -n "$PORTCULLIS_CHROMIUM" ]; then export PORTCULLIS_CHROMIUM; else unset PORTCULLIS_CHROMIUM; fi

# Debian has it where only root looks.
if [ -z "${PORTCULLIS_NGINX:-}" ]; then
  for nginx in "$(command -v nginx)" /usr/sbin/nginx "$(tool_dir nginx debian)/usr/sbin/nginx"; do
    if [ -n "$nginx" ] && [ -x "$nginx" ]; then PORTCULLIS_NGINX="$nginx" && break; fi
  done
  unset nginx
fi
if [ -n "${PORTCULLIS_NGINX:-}" ]; then export PORTCULLIS_NGINX; else unset PORTCULLIS_NGINX; fi

for tool in "wasm-pack $WASM_PACK_VERSION" "cargo-deny $CARGO_DENY_VERSION" \
  "cargo-machete $CARGO_MACHETE_VERSION" "typos $TYPOS_VERSION" "wasm-bindgen-cli $WASM_BINDGEN_VERSION" \
  "cargo-nextest $CARGO_NEXTEST_VERSION"; do
  # shellcheck disable=SC2086  # a pair: name and version
  dir="$(tool_dir $tool)/bin"
  case ":$PATH:" in *":$dir:"*) ;; *) if [ -d "$dir" ]; then PATH="$dir:$PATH"; fi ;; esac
done
case ":$PATH:" in *":$NPM_BIN:"*) ;; *) PATH="$NPM_BIN:$PATH" ;; esac
export PATH

//! Each check against a tiny server that is right in everything, and then wrong in one thing.

mod deployment;
mod mcp;
mod site;
mod transport;

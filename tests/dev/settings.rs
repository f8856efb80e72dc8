//! Where `make dev` listens and keeps its state, and the file that tells others.

use std::{
    collections::BTreeMap,
    fs, io,
    net::TcpListener,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use e2e::files;

/// The ports and the folder.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) state: PathBuf,
    pub(crate) control_port: u16,
    pub(crate) edge_port: u16,
    pub(crate) origin: String,
    pub(crate) database_url: Option<String>,
}

impl Settings {
    /// From the environment, with the defaults of the README.
    pub(crate) fn read() -> Result<Self, String> {
        let listen = files::variable("PORTCULLIS_LISTEN").unwrap_or_else(|| "127.0.0.1:7070".to_owned());
        let edge = files::variable("EDGE_PORT").unwrap_or_else(|| "8787".to_owned());
        Ok(Self {
            state: files::variable("PORTCULLIS_STATE")
                .map_or_else(|| files::root().join(".portcullis"), PathBuf::from),
            control_port: loopback_port(&listen).ok_or_else(|| {
                format!("PORTCULLIS_LISTEN is '{listen}', but must be 127.0.0.1:<port> here")
            })?,
            edge_port: edge
                .parse()
                .map_err(|_| format!("EDGE_PORT is '{edge}', but must be a port number"))?,
            origin: files::variable("ORIGIN_LISTEN").unwrap_or_else(|| "127.0.0.1:7071".to_owned()),
            database_url: files::variable("DATABASE_URL"),
        })
    }

    /// `127.0.0.1:<port>` of the edge.
    pub(crate) fn edge_address(&self) -> String {
        format!("127.0.0.1:{}", self.edge_port)
    }

    /// `http://127.0.0.1:<port>` of the edge.
    pub(crate) fn edge_url(&self) -> String {
        format!("http://{}", self.edge_address())
    }

    /// One clear sentence for the first port that somebody else has.
    pub(crate) fn check_ports(&self) -> Result<(), String> {
        let control = format!("127.0.0.1:{}", self.control_port);
        let wanted = [
            (control, "the control plane", "PORTCULLIS_LISTEN=127.0.0.1:<port>"),
            (self.edge_address(), "the edge", "EDGE_PORT=<port>"),
            (
                self.origin.clone(),
                "the demo origin",
                "ORIGIN_LISTEN=127.0.0.1:<port>",
            ),
        ];
        for (address, whose, variable) in wanted {
            if let Err(error) = TcpListener::bind(&address) {
                let why = if error.kind() == io::ErrorKind::AddrInUse {
                    "is in use".to_owned()
                } else {
                    error.to_string()
                };
                return Err(format!(
                    "{address}, where {whose} should listen, {why}: stop what runs there (another `make dev`?) or set {variable}"
                ));
            }
        }
        Ok(())
    }
}

fn loopback_port(listen: &str) -> Option<u16> {
    listen
        .strip_prefix("127.0.0.1:")
        .or_else(|| listen.strip_prefix("localhost:"))?
        .parse()
        .ok()
}

/// `dev.env`: what other programs on this machine need to talk to the stack. Holds secrets: mode 0600.
#[derive(Debug, Default)]
pub(crate) struct DevEnv(BTreeMap<String, String>);

impl DevEnv {
    const FILE: &str = "dev.env";

    pub(crate) fn new<const N: usize>(values: [(&str, String); N]) -> Self {
        Self(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// What an earlier run wrote, if anything.
    pub(crate) fn read(state: &Path) -> Self {
        let text = fs::read_to_string(state.join(Self::FILE)).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, state: &Path) -> io::Result<()> {
        use io::Write as _;
        let draft = state.join("dev.env.new");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        for (name, value) in &self.0 {
            writeln!(file, "{name}={value}")?;
        }
        fs::rename(draft, state.join(Self::FILE))
    }
}

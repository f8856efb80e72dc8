//! From a file and the environment to a [`Config`]. The only place that reads environment variables.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::names::{KEYS, Kind, OTHER_VARIABLES, nearest, variable};
use super::{Config, validate};

/// Read when no other file is named.
const DEFAULT_FILE: &str = "portcullis.toml";

/// Why there is no usable configuration. Every message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Not TOML. The message shows the line.
    #[error("{path} is not valid TOML: {error}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        error: toml::de::Error,
    },
    /// A key or variable that does not exist.
    #[error("unknown {what} `{name}`{}", hint(.nearest.as_deref()))]
    Unknown {
        /// "configuration key" or "environment variable".
        what: &'static str,
        /// As it was written.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A variable whose text is not of its key's type. The text is not repeated: it may be a secret.
    #[error("{variable} must be {expected}")]
    Variable {
        /// The variable.
        variable: String,
        /// What would do.
        expected: &'static str,
    },
    /// A value of the wrong type.
    #[error("invalid configuration: {0}")]
    Type(String),
    /// A value that its key cannot take.
    #[error("configuration key `{path}`: {problem}")]
    Value {
        /// The key, with the place in it.
        path: String,
        /// What would do.
        problem: String,
    },
    /// A value that is well formed and makes no sense.
    #[error("configuration key `{key}`: {problem}")]
    Invalid {
        /// Its path.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `portcullis config check` prints every key".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

/// One environment variable, for the client side of the command line.
#[expect(
    clippy::disallowed_methods,
    reason = "the one module that may read the environment"
)]
pub fn environment_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The effective configuration of this process. `file` wins over `PORTCULLIS_CONFIG`, which wins over `portcullis.toml`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one module that may read the environment"
)]
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let named = file
        .map(Path::to_owned)
        .or_else(|| environment_variable("PORTCULLIS_CONFIG").map(PathBuf::from));
    let table = match named {
        Some(path) => read(&path)?,
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
        None => Table::new(),
    };
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("PORTCULLIS_") || name == "DATABASE_URL");
    assemble(table, variables)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        error,
    })?;
    text.parse().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        error,
    })
}

/// The pure part: a parsed file and variables in, a validated configuration out.
pub(super) fn assemble(
    mut table: Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    refuse_unknown_keys(&table)?;
    let mut variables: Vec<_> = variables.into_iter().collect();
    // DATABASE_URL is the custom of other tools: ours wins over it.
    variables.sort_by_key(|(name, _)| name != "DATABASE_URL");
    for (name, text) in variables {
        override_key(&mut table, &name, &text)?;
    }
    let config: Config = serde_path_to_error::deserialize(Value::Table(table)).map_err(unfit)?;
    validate::validate(&config)?;
    Ok(config)
}

/// Names the key. What was written there is not repeated where it may be a secret.
fn unfit(error: serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
    let path = error.path().to_string();
    let said = error.into_inner().message().to_owned();
    let kind = KEYS
        .iter()
        .find(|(known, _)| *known == path)
        .map(|(_, kind)| *kind);
    let problem = match (path.as_str(), kind) {
        ("listen" | "metrics_listen", _) => "expected an address and a port such as 127.0.0.1:7070",
        (_, Some(kind)) if said.starts_with("invalid type") => expected(kind),
        _ => said.as_str(),
    };
    ConfigError::Value {
        problem: problem.to_owned(),
        path,
    }
}

/// How a value is written in the file.
fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "expected a text, in quotes",
        Kind::Integer => "expected a whole number, without quotes",
        Kind::Bool => "expected true or false, without quotes",
        Kind::List => "expected a list of texts such as [\"a\", \"b\"]",
        Kind::Edges | Kind::Groups | Kind::Pairs(..) => {
            "expected a list of tables such as [{ name = \"value\" }]"
        }
    }
}

fn refuse_unknown_keys(table: &Table) -> Result<(), ConfigError> {
    let sections = || {
        KEYS.iter()
            .filter_map(|(path, _)| path.split_once('.').map(|(section, _)| section))
    };
    for (name, value) in table {
        let is_section = sections().any(|section| section == name);
        match value {
            Value::Table(inner) if is_section => {
                for key in inner.keys() {
                    let path = format!("{name}.{key}");
                    refuse_unless_key(&path)?;
                }
            }
            _ if is_section => return Err(ConfigError::Type(format!("`{name}` must be a table"))),
            _ => refuse_unless_key(name)?,
        }
    }
    Ok(())
}

fn refuse_unless_key(path: &str) -> Result<(), ConfigError> {
    if KEYS.iter().any(|(known, _)| *known == path) {
        return Ok(());
    }
    let nearest = nearest(path, KEYS.iter().map(|(known, _)| *known)).map(str::to_owned);
    Err(ConfigError::Unknown {
        what: "configuration key",
        name: path.to_owned(),
        nearest,
    })
}

fn override_key(table: &mut Table, name: &str, text: &str) -> Result<(), ConfigError> {
    if OTHER_VARIABLES.contains(&name) {
        return Ok(());
    }
    let wanted = if name == "DATABASE_URL" {
        "PORTCULLIS_DATABASE_URL"
    } else {
        name
    };
    let Some((path, kind)) = KEYS.iter().find(|(path, _)| variable(path) == wanted) else {
        let known: Vec<String> = KEYS.iter().map(|(path, _)| variable(path)).collect();
        let candidates = known
            .iter()
            .map(String::as_str)
            .chain(OTHER_VARIABLES.iter().copied());
        let nearest = nearest(name, candidates).map(str::to_owned);
        return Err(ConfigError::Unknown {
            what: "environment variable",
            name: name.to_owned(),
            nearest,
        });
    };
    let value = parse(*kind, text).map_err(|expected| ConfigError::Variable {
        variable: name.to_owned(),
        expected,
    })?;
    match path.split_once('.') {
        None => {
            table.insert((*path).to_owned(), value);
        }
        Some((section, key)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                inner.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn parse(kind: Kind, text: &str) -> Result<Value, &'static str> {
    let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    match kind {
        Kind::Text => Ok(Value::String(text.to_owned())),
        Kind::Integer => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
        Kind::Bool => text.parse().map(Value::Boolean).map_err(|_| "`true` or `false`"),
        Kind::List => Ok(Value::Array(
            items().map(|item| Value::String(item.to_owned())).collect(),
        )),
        Kind::Edges => pairs(text, |edge, how| {
            let (name, group) = edge
                .split_once('@')
                .map_or((edge, None), |(name, group)| (name, Some(group)));
            let key = if how == "pull" { "mode" } else { "url" };
            let mut members = vec![("name", string(name)), (key, string(how))];
            members.extend(group.map(|group| ("group", string(group))));
            members
        }),
        Kind::Groups => pairs(text, |name, orgs| {
            let orgs = orgs.split('+').map(string).collect();
            vec![("name", string(name)), ("orgs", Value::Array(orgs))]
        }),
        Kind::Pairs(first, second) => pairs(text, |left, right| {
            vec![(first, string(left)), (second, string(right))]
        }),
    }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// `left=right,left=right` as tables.
fn pairs<'a>(
    text: &'a str,
    table: impl Fn(&'a str, &'a str) -> Vec<(&'static str, Value)>,
) -> Result<Value, &'static str> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (left, right) = item
                .split_once('=')
                .ok_or("a list of pairs with `=`, separated by commas")?;
            let members = table(left, right)
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value));
            Ok(Value::Table(members.collect::<Table>()))
        })
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

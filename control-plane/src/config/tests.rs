//! Tests of loading, overriding and refusing.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::load::assemble;
use super::names::{KEYS, Kind, variable};
use super::*;

fn from(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    assemble(file.parse().expect("TOML"), variables)
}

fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
    from(file, variables).expect_err("must be refused").to_string()
}

#[test]
fn no_file_and_no_variable_start() {
    let config = from("", &[]).expect("defaults");
    assert_eq!(config.listen.to_string(), "127.0.0.1:7070");
    assert_eq!(config.database_url, "sqlite://portcullis.db");
    assert_eq!(config.edges.len(), 1);
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "listen = '127.0.0.1:1'\ndatabase_url = 'sqlite://a.db'\n[tokens]\naccess_seconds = 60";
    let variables = [
        ("PORTCULLIS_LISTEN", "127.0.0.1:2"),
        ("PORTCULLIS_TOKENS_ACCESS_SECONDS", "120"),
        (
            "PORTCULLIS_EDGES",
            "hub=http://127.0.0.1:9, b=https://edge.example",
        ),
        ("PORTCULLIS_ENVIRONMENTS", "live,dev"),
        ("DATABASE_URL", "postgres://u@h/d"),
    ];
    let config = from(file, &variables).expect("valid");
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.tokens.access_seconds, 120);
    assert_eq!(
        config
            .edges
            .iter()
            .map(|edge| edge.name.as_str())
            .collect::<Vec<_>>(),
        ["hub", "b"]
    );
    assert_eq!(config.environments, [Environment::Live, Environment::Dev]);
    assert_eq!(config.database_url, "postgres://u@h/d");
}

#[test]
fn an_edge_is_pushed_to_or_fetches() {
    let config = from(
        "edges = [{name = 'a', url = 'http://x'}, {name = 'b', mode = 'pull'}]",
        &[],
    )
    .expect("valid");
    assert_eq!(config.edges, [Edge::push("a", "http://x"), Edge::pull("b")]);
    assert!(config.has_canary());
    let variables = [
        ("PORTCULLIS_EDGES", "b=pull"),
        ("PORTCULLIS_CANARY_INTERVAL_SECONDS", "5"),
    ];
    let config = from("", &variables).expect("valid");
    assert_eq!(
        (config.edges.as_slice(), config.has_canary()),
        ([Edge::pull("b")].as_slice(), false)
    );
    assert!(
        !from("[canary]\nenabled = false", &[])
            .expect("valid")
            .has_canary()
    );
    for (file, problem) in [
        (
            "edges = [{name = 'a', url = 'http://x', mode = 'pull'}]",
            "no URL",
        ),
        ("edges = [{name = 'a'}]", "absolute"),
        ("edges = [{name = 'a/b', mode = 'pull'}]", "no name"),
        ("edges = [{name = '', mode = 'pull'}]", "no name"),
        ("edges = [{name = 'a', mode = 'poll'}]", "poll"),
        ("[canary]\ninterval_seconds = 0", "between"),
    ] {
        let refusal = refusal(file, &[]);
        assert!(refusal.contains(problem), "{file}: {refusal}");
    }
}

#[test]
fn an_edge_group_admits_those_it_lists() {
    let org = |number| shared::id::OrgId::from_u64(number).expect("small");
    let (one, two) = (org(1).to_string(), org(2).to_string());
    let file = format!(
        "edges = [{{name = 'a', mode = 'pull', group = 'acme'}}, {{name = 'b', url = 'http://x'}}]\n\
         [[edge_groups]]\nname = 'acme'\norgs = ['{one}', '{two}']"
    );
    let groups = format!("acme={one}+{two}");
    let variables = [
        ("PORTCULLIS_EDGES", "a@acme=pull,b=http://x"),
        ("PORTCULLIS_EDGE_GROUPS", groups.as_str()),
    ];
    for config in [from(&file, &[]), from("", &variables)] {
        let config = config.expect("valid");
        let [customers, everyones] = config.edges.as_slice() else {
            panic!("two edges")
        };
        assert_eq!(*customers, Edge::pull("a").in_group("acme"));
        assert!(config.admits(customers, Some(org(2))) && !config.admits(customers, Some(org(3))));
        assert!(!config.admits(customers, None) && config.admits(everyones, None));
    }
    for (file, problem) in [
        (
            "edges = [{name = 'a', mode = 'pull', group = 'acme'}]",
            "does not have",
        ),
        ("edge_groups = [{name = 'a', orgs = []}]", "admit 1 to"),
        (
            "edge_groups = [{name = 'a/b', orgs = ['org_000000001']}]",
            "no name",
        ),
        ("edge_groups = [{name = 'a', orgs = ['acme']}]", "org_"),
        (
            "edge_groups = [{name = 'a', orgs = ['org_000000001']}, {name = 'a', orgs = ['org_000000002']}]",
            "twice",
        ),
    ] {
        let refusal = refusal(file, &[]);
        assert!(refusal.contains(problem), "{file}: {refusal}");
    }
}

#[test]
fn our_own_variable_wins_over_database_url() {
    let variables = [
        ("PORTCULLIS_DATABASE_URL", "sqlite://ours.db"),
        ("DATABASE_URL", "sqlite://theirs.db"),
    ];
    assert_eq!(
        from("", &variables).expect("valid").database_url,
        "sqlite://ours.db"
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(
        refusal("lisen = 'x'", &[]),
        "unknown configuration key `lisen`; did you mean `listen`?"
    );
    let nested = refusal("[tokens]\naccess_second = 1", &[]);
    assert_eq!(
        nested,
        "unknown configuration key `tokens.access_second`; did you mean `tokens.access_seconds`?"
    );
    let variable = refusal("", &[("PORTCULLIS_LISTN", "x")]);
    assert_eq!(
        variable,
        "unknown environment variable `PORTCULLIS_LISTN`; did you mean `PORTCULLIS_LISTEN`?"
    );
    assert!(refusal("zzz = 1", &[]).contains("config check"));
}

#[test]
fn a_value_that_does_not_fit_names_its_key() {
    let address = "configuration key `listen`: expected an address and a port such as 127.0.0.1:7070";
    assert_eq!(refusal("listen = 'here'", &[]), address);
    assert_eq!(refusal("listen = 7070", &[]), address);
    assert_eq!(refusal("", &[("PORTCULLIS_LISTEN", "7070")]), address);
    for (file, expected) in [
        (
            "metrics_listen = '9090'",
            "configuration key `metrics_listen`: expected an address and a port",
        ),
        (
            "log_format = 'xml'",
            "configuration key `log_format`: unknown variant `xml`",
        ),
        (
            "environments = ['live', 'prod']",
            "configuration key `environments[1]`: unknown variant `prod`",
        ),
        (
            "[tokens]\naccess_seconds = '60'",
            "configuration key `tokens.access_seconds`: expected a whole number",
        ),
        (
            "[tokens]\naccess_seconds = -1",
            "configuration key `tokens.access_seconds`: invalid value: integer `-1`",
        ),
        ("dev = 'yes'", "configuration key `dev`: expected true or false"),
        (
            "environments = 'live'",
            "configuration key `environments`: expected a list",
        ),
        (
            "edges = 'hub'",
            "configuration key `edges`: expected a list of tables",
        ),
        (
            "edges = [{name = 'a', mode = 'poll'}]",
            "configuration key `edges[0].mode`: unknown variant `poll`",
        ),
        (
            "[mail]\nsmtp_port = 99999",
            "configuration key `mail.smtp_port`: invalid value",
        ),
    ] {
        let message = refusal(file, &[]);
        assert!(message.starts_with(expected), "{message}");
    }
    let secret = refusal("[mail]\nsmtp_password = 73501", &[]);
    assert_eq!(
        secret,
        "configuration key `mail.smtp_password`: expected a text, in quotes"
    );
}

#[test]
fn what_is_printed_is_what_is_in_force() {
    let printed = |file: &str, variables: &[(&str, &str)]| -> toml::Table {
        let config = from(file, variables).expect("valid");
        config.redacted().expect("TOML").parse().expect("TOML")
    };
    let strict = printed("", &[]);
    for (section, key, value) in [
        ("sign_in", "failures_per_account", 10),
        ("sign_in", "failures_per_address", 50),
        ("sign_in", "successes_per_account", 60),
        ("rate_limits", "requests_per_address", 600),
        ("rate_limits", "calls_per_credential", 600),
        ("rate_limits", "failures_per_client", 10),
        ("factors", "failures_per_account", 5),
        ("mail", "requests_per_account", 5),
        ("device", "guesses_per_user", 10),
        ("clients", "registrations_per_hour", 20),
        ("keys", "self_rotations_per_hour", 30),
    ] {
        assert_eq!(strict[section][key].as_integer(), Some(value), "{section}.{key}");
    }
    for (section, key, value) in [
        ("fetch", "allow_loopback", false),
        ("sign_up", "enabled", false),
        ("clients", "registration", false),
        ("canary", "enabled", true),
    ] {
        assert_eq!(strict[section][key].as_bool(), Some(value), "{section}.{key}");
    }
    assert!(
        strict["mail"].get("smtp_port").is_none(),
        "there is no mail server"
    );
    assert_eq!(
        strict["incarnation_file"].as_str(),
        Some("portcullis-incarnation")
    );

    let dev = printed("dev = true\n[sign_in]\nfailures_per_account = 3", &[]);
    assert_eq!(dev["sign_in"]["failures_per_account"].as_integer(), Some(3));
    assert_eq!(dev["sign_in"]["failures_per_address"].as_integer(), Some(100_000));
    assert_eq!(dev["fetch"]["allow_loopback"].as_bool(), Some(true));
    let pulled = printed(
        "[mail]\nsmtp_host = 'mail.example'\nfrom = 'a@b.example'",
        &[("PORTCULLIS_EDGES", "b=pull")],
    );
    assert_eq!(pulled["canary"]["enabled"].as_bool(), Some(false));
    assert_eq!(pulled["mail"]["smtp_port"].as_integer(), Some(465));

    // It is a configuration again, and the same one.
    for file in ["", "dev = true"] {
        let first = from(file, &[]).expect("valid").redacted().expect("TOML");
        let second = from(&first, &[]).expect("valid").redacted().expect("TOML");
        assert_eq!(first, second);
    }
}

#[test]
fn a_section_must_be_a_table() {
    assert!(refusal("tokens = 1", &[]).contains("must be a table"));
}

#[test]
fn the_clients_variables_are_not_unknown() {
    assert!(
        from(
            "",
            &[
                ("PORTCULLIS_ADMIN_KEY", "pc_live_x"),
                ("PORTCULLIS_URL", "http://x"),
                ("PORTCULLIS_OUTPUT", "json"),
                ("PORTCULLIS_PROFILE", "staging"),
            ]
        )
        .is_ok()
    );
}

#[test]
fn a_bad_variable_is_not_repeated() {
    let message = refusal("", &[("PORTCULLIS_TOKENS_ACCESS_SECONDS", "s3cret")]);
    assert_eq!(message, "PORTCULLIS_TOKENS_ACCESS_SECONDS must be a whole number");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let cases = [
        ("issuer = 'http://auth.example.com'", "loopback"),
        ("issuer = 'https://auth.example.com/'", "slash"),
        ("issuer = 'https://auth.example.com?x=1'", "query"),
        ("issuer = 'https://Auth.example.com'", "normal form"),
        ("issuer = 'https://auth.example.com:443'", "normal form"),
        ("issuer = 'https://a.example/t1'", "must not have a path"),
        ("issuer = 'https://a.example/t1/'", "must not have a path"),
        ("issuer = 'ftp://auth.example.com'", "https"),
        ("[rate_limits]\nrequests_per_address = 0", "between 1"),
        ("[rate_limits]\nfailures_per_client = 2000000", "between 1"),
        ("issuer = 'auth'", "absolute"),
        ("resource = 'https://a/#b'", "fragment"),
        ("brand = 'p_c'", "letters"),
        ("brand = ''", "letters"),
        ("environments = []", "at least one"),
        ("environments = ['prod']", "prod"),
        ("database_url = 'mysql://x'", "sqlite"),
        ("database_url = 'sqlite::memory:'", "file"),
        ("metrics_listen = '127.0.0.1:7070'", "differ"),
        ("edges = [{name = 'a', url = 'x'}]", "absolute"),
        (
            "edges = [{name = 'a', url = 'http://x'}, {name = 'a', url = 'http://y'}]",
            "twice",
        ),
        ("edges = [{name = 'a', url = 'http://x', token = 'y'}]", "token"),
        ("[tokens]\naccess_seconds = 0", "between 1"),
        ("[limits]\nrequest_seconds = 5", "receipt"),
        ("bootstrap_email = 'nobody'", "e-mail"),
        ("[sign_up]\nenabled = true", "mail.smtp_host"),
        ("[mail]\nsmtp_host = 'mail.example'", "sender"),
        ("[mail]\nsmtp_host = 'mail.example'\nfrom = 'nobody'", "address"),
        ("[mail]\nsmtp_user = 'u'", "smtp_host"),
        (
            "[mail]\nsmtp_host = 'mail.example'\nfrom = 'a@b.example'\nsmtp_tls = 'none'",
            "loopback",
        ),
        (
            "[mail]\nsmtp_host = 'mail.example'\nfrom = 'a@b.example'\nsmtp_user = 'u'",
            "together",
        ),
        ("[mail]\nrequests_per_address = 0", "between 1"),
        (
            "identity_providers = [{issuer = 'http://127.0.0.1:7070', org = 'org_000000001'}]",
            "own issuer",
        ),
        (
            "identity_providers = [{issuer = 'https://a.example', org = 'org_000000001'}, {issuer = 'https://a.example/', org = 'org_000000002'}]",
            "twice",
        ),
        (
            "identity_providers = [{issuer = 'http://a.example', org = 'org_000000001'}]",
            "https",
        ),
        (
            "identity_providers = [{issuer = 'https://a.example', org = 'acme'}]",
            "org",
        ),
        (
            "identity_providers = [{issuer = 'https://a.example', org = 'org_000000001', jwks_uri = 'http://a.example/keys'}]",
            "https",
        ),
        (
            "identity_providers = [{issuer = 'https://a.example', org = 'org_000000001', algorithms = ['HS256']}]",
            "RS256",
        ),
        (
            "identity_providers = [{issuer = 'https://a.example', org = 'org_000000001', algorithms = []}]",
            "RS256",
        ),
    ];
    for (file, expected) in cases {
        let message = refusal(file, &[]);
        assert!(message.contains(expected), "{file}: {message}");
    }
    for fine in [
        "issuer = 'http://[::1]:7070'",
        "issuer = 'http://localhost:7070'",
        "issuer = 'https://a.example:8443'",
    ] {
        assert!(from(fine, &[]).is_ok(), "{fine}");
    }
}

#[test]
fn printing_redacts_every_secret() {
    let variables = [
        ("PORTCULLIS_MASTER_KEY", "bWFzdGVyLXNlY3JldA=="),
        ("PORTCULLIS_MAIL_SMTP_HOST", "mail.example"),
        ("PORTCULLIS_MAIL_FROM", "gate@example.com"),
        ("PORTCULLIS_MAIL_SMTP_USER", "gate"),
        ("PORTCULLIS_MAIL_SMTP_PASSWORD", "c0rrect"),
        (
            "PORTCULLIS_DATABASE_URL",
            "postgres://user:hunter2@db.example/portcullis",
        ),
    ];
    let config = from("", &variables).expect("valid");
    let printed = config.redacted().expect("TOML");
    let debugged = format!("{config:?}");
    for secret in ["bWFzdGVyLXNlY3JldA==", "hunter2", "c0rrect"] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(!debugged.contains(secret), "{debugged}");
    }
    assert!(printed.contains("master_key = \"redacted\""), "{printed}");
    assert!(printed.contains("db.example"), "{printed}");
}

/// A configuration in which everything is set.
fn full() -> Config {
    Config {
        metrics_listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        master_key: Some("x".into()),
        incarnation_file: Some("i".into()),
        policy_file: Some("p".into()),
        bootstrap_file: Some("b".into()),
        keys: Keys {
            self_rotations_per_hour: Some(1),
            ..Keys::default()
        },
        sign_in: SignIn {
            failures_per_account: Some(1),
            failures_per_address: Some(1),
            successes_per_account: Some(1),
            address_header: Some("x-forwarded-for".into()),
            ..SignIn::default()
        },
        device: Device {
            guesses_per_user: Some(1),
            guesses_per_address: Some(1),
            ..Device::default()
        },
        canary: Canary {
            enabled: Some(true),
            ..Canary::default()
        },
        sign_up: SignUp { enabled: Some(true) },
        mail: Mail {
            smtp_host: Some("mail.example".into()),
            smtp_port: Some(587),
            smtp_user: Some("u".into()),
            smtp_password: Some("p".into()),
            from: Some("a@b".into()),
            requests_per_account: Some(1),
            requests_per_address: Some(1),
            invitations_per_org: Some(1),
            ..Mail::default()
        },
        rate_limits: RateLimits {
            requests_per_address: Some(1),
            calls_per_credential: Some(1),
            requests_per_client: Some(1),
            failures_per_client: Some(1),
            failures_per_address: Some(1),
        },
        factors: Factors {
            failures_per_account: Some(1),
            failures_per_address: Some(1),
            ..Factors::default()
        },
        clients: Clients {
            registration: Some(true),
            open_scopes: Some(vec!["a".into()]),
            default_scopes: Some(vec!["a".into()]),
            registrations_per_hour: NonZeroU32::new(1),
            look_ups_per_hour: NonZeroU32::new(1),
            ..Clients::default()
        },
        fetch: Fetch {
            allow_loopback: Some(false),
        },
        ..Config::default()
    }
}

/// Every field has a name in the list and a variable that works, and the other way round.
#[test]
fn the_list_of_names_is_complete() {
    let full = full();
    let table = toml::Table::try_from(&full).expect("TOML");
    let mut fields = BTreeSet::new();
    for (name, value) in &table {
        match value {
            toml::Value::Table(inner) => fields.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            _ => {
                fields.insert(name.clone());
            }
        }
    }
    let listed: BTreeSet<String> = KEYS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(fields, listed);
    for (path, kind) in KEYS {
        let text = match (*path, *kind) {
            ("listen", _) => "127.0.0.1:9",
            ("metrics_listen", _) => "127.0.0.1:8",
            ("issuer" | "resource", _) => "https://a.example",
            ("database_url", _) => "sqlite://x.db",
            ("bootstrap_email", _) => "a@b",
            ("environments", _) => "live",
            ("log_format", _) => "text",
            ("mail.smtp_tls", _) => "starttls",
            ("leaks.keys_url", _) => "https://a.example/keys",
            ("leaks.action", _) => "quarantine",
            ("sign_up.enabled", _) => "false",
            ("mail.from", _) => "Gate <gate@example.com>",
            (_, Kind::Text) => "pc",
            ("limits.request_seconds", _) => "30",
            // No shorter than the idle limit.
            ("sessions.max_seconds", _) => "604800",
            // Only in `dev`.
            ("fetch.allow_loopback", _) => "false",
            (_, Kind::Integer) => "7",
            (_, Kind::Bool) => "true",
            (_, Kind::List) => "a,b",
            ("identity_providers" | "signal_transmitters", _) => "org_000000001=https://idp.example",
            (_, Kind::Edges) => "hub=http://127.0.0.1:1",
            (_, Kind::Groups) => "acme=org_000000001+org_000000002",
            (_, Kind::Pairs(..)) => "a=b",
        };
        // What needs a mail server beside it has one.
        let file = if path.starts_with("mail.smtp_") {
            "[mail]\nsmtp_host = 'mail.example'\nfrom = 'a@b.example'\nsmtp_user = 'u'\nsmtp_password = 'p'"
        } else {
            ""
        };
        from(file, &[(&variable(path), text)]).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[test]
fn every_key_has_a_row_in_the_manual() {
    let manual = include_str!("../../../docs/operations.md");
    let missing: Vec<&str> = KEYS
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| !manual.contains(&format!("`{path}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_incarnation_file_is_beside_what_is_not_copied_with_the_database() {
    let env = ("PORTCULLIS_MASTER_KEY", "x");
    for (file, variables, expected) in [
        ("", &[][..], "portcullis-incarnation"),
        (
            "master_key_file = '/run/secrets/k'\ndatabase_url = 'sqlite:///var/a/b.db'",
            &[],
            "/run/secrets/portcullis-incarnation",
        ),
        (
            "database_url = 'sqlite:///var/a/b.db?mode=rwc'",
            &[env],
            "/var/a/portcullis-incarnation",
        ),
        (
            "database_url = 'postgres://u@h/d'",
            &[env],
            "portcullis-incarnation",
        ),
        ("incarnation_file = '/x/y'", &[env], "/x/y"),
    ] {
        let path = from(file, variables).expect("valid").incarnation_path();
        assert_eq!(path, PathBuf::from(expected), "{file}");
    }
}

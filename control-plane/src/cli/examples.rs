//! An example for each command, shown below its help. A test sees to it that none is missing and that each one parses.

use clap::Command;

/// Command, and an example or several, one a line.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "audit export",
        "portcullis audit export --as csv --file audit.csv",
    ),
    ("audit list", "portcullis audit list --target key_000000001"),
    ("audit verify", "portcullis audit verify"),
    (
        "settings set",
        "portcullis settings set --key-max-days 90 --key-remind-days 14",
    ),
    ("settings show", "portcullis settings show"),
    (
        "webhooks create",
        "portcullis webhooks create https://example.com/hooks --event 'key.*'",
    ),
    ("webhooks list", "portcullis webhooks list"),
    ("webhooks messages", "portcullis webhooks messages whk_000000001"),
    ("webhooks ping", "portcullis webhooks ping whk_000000001"),
    ("webhooks remove", "portcullis webhooks remove whk_000000001"),
    (
        "webhooks replay",
        "portcullis webhooks replay whk_000000001 msg_000000001",
    ),
    (
        "webhooks rotate",
        "portcullis webhooks rotate whk_000000001 --write-to secret.txt",
    ),
    ("webhooks show", "portcullis webhooks show whk_000000001"),
    (
        "webhooks update",
        "portcullis webhooks update whk_000000001 --enabled true",
    ),
    ("demo", "portcullis demo seed"),
    ("grants list", "portcullis grants list --user usr_000000001"),
    (
        "grants revoke",
        "portcullis grants revoke grt_000000001 --reason privilege_withdrawn",
    ),
    ("members holdings", "portcullis members holdings usr_000000001"),
    (
        "policy apply",
        "portcullis policy apply policy.json --reason 'reports are for everybody'",
    ),
    ("policy check", "portcullis policy check policy.json"),
    ("policy diff", "portcullis policy diff policy.json"),
    ("policy history", "portcullis policy history --limit 10"),
    (
        "policy rollback",
        "portcullis policy rollback 7 --reason 'reports leaked'",
    ),
    ("policy show", "portcullis policy show --document > policy.json"),
    (
        "policy test",
        "portcullis policy test --path /v1/memory/x --method POST --scope memory:read",
    ),
    (
        "service-accounts create",
        "portcullis service-accounts create --name nightly-export --role viewer",
    ),
    (
        "service-accounts deactivate",
        "portcullis service-accounts deactivate usr_000000002",
    ),
    ("service-accounts list", "portcullis service-accounts list"),
    (
        "service-accounts rename",
        "portcullis service-accounts rename usr_000000002 --name nightly",
    ),
    (
        "service-accounts resume",
        "portcullis service-accounts resume usr_000000002",
    ),
    (
        "service-accounts role",
        "portcullis service-accounts role usr_000000002 member",
    ),
    (
        "service-accounts suspend",
        "portcullis service-accounts suspend usr_000000002",
    ),
    ("sessions end", "portcullis sessions end ses_000000001"),
    ("sessions end-all", "portcullis sessions end-all usr_000000001"),
    ("sessions list", "portcullis sessions list --user usr_000000001"),
    ("workspaces archive", "portcullis workspaces archive ws_000000001"),
    ("workspaces create", "portcullis workspaces create --name staging"),
    ("workspaces list", "portcullis workspaces list --archived"),
    (
        "workspaces rename",
        "portcullis workspaces rename ws_000000001 --name production",
    ),
    ("workspaces restore", "portcullis workspaces restore ws_000000001"),
    ("clients", "portcullis clients list"),
    (
        "clients create",
        "portcullis clients create --name Notes --kind browser --preset read \\\n    --redirect-uri https://notes.example.com/callback\n\
         portcullis clients create --name nightly --kind machine --scopes memory:read --write-to nightly.secret",
    ),
    ("clients disable", "portcullis clients disable cli_000000001"),
    ("clients installation", "portcullis clients installation list"),
    (
        "clients installation create",
        "portcullis clients installation create --name app --scopes memory:read --redirect-uri https://app.example.com/callback\n\
         portcullis clients installation create --name tv --public --device --scopes memory:read",
    ),
    (
        "clients installation disable",
        "portcullis clients installation disable cli_000000001",
    ),
    (
        "clients installation list",
        "portcullis clients installation list --output json",
    ),
    ("clients list", "portcullis clients list --which let_in"),
    (
        "clients revoke",
        "portcullis clients revoke cli_000000001 --reason key_compromise",
    ),
    (
        "clients rotate-secret",
        "portcullis clients rotate-secret cli_000000001 --write-to app.secret",
    ),
    ("clients show", "portcullis clients show cli_000000001"),
    (
        "clients update",
        "portcullis clients update cli_000000001 --redirect-uri https://notes.example.com/signed-in",
    ),
    (
        "completion",
        "portcullis completion bash > /etc/bash_completion.d/portcullis\n\
         portcullis completion zsh > ~/.zfunc/_portcullis\n\
         portcullis completion fish > ~/.config/fish/completions/portcullis.fish",
    ),
    ("config", "portcullis config check"),
    ("config check", "portcullis --config portcullis.toml config check"),
    ("doctor mcp", "portcullis doctor mcp https://api.example.com/mcp"),
    ("edge groups", "portcullis edge groups"),
    (
        "edge key",
        "portcullis edge key dmz\n\
         portcullis edge key dmz --list\n\
         portcullis edge key dmz --revoke upl_0a1b2c3d",
    ),
    ("edge status", "portcullis edge status --output json"),
    ("feed", "portcullis feed trust"),
    ("feed recover", "portcullis feed recover"),
    ("feed take-over", "portcullis feed take-over"),
    ("feed trust", "portcullis feed trust --group onprem"),
    (
        "invitations create",
        "portcullis invitations create --email sam@example.com --role member",
    ),
    ("invitations list", "portcullis invitations list --output json"),
    (
        "invitations revoke",
        "portcullis invitations revoke inv_000000001",
    ),
    (
        "issuers block",
        "portcullis issuers block iss_000000001 'auth0|5f7c8ec7c33c6c004bbafe82'",
    ),
    (
        "issuers create",
        "portcullis issuers create https://acme.eu.auth0.com/ --audience https://api.example.com --scope memory:read",
    ),
    ("issuers list", "portcullis issuers list"),
    (
        "issuers refresh",
        "portcullis issuers refresh iss_000000001 --kid 2026-11",
    ),
    ("issuers remove", "portcullis issuers remove iss_000000001"),
    ("issuers show", "portcullis issuers show iss_000000001"),
    (
        "issuers unblock",
        "portcullis issuers unblock iss_000000001 'auth0|5f7c8ec7c33c6c004bbafe82'",
    ),
    (
        "issuers update",
        "portcullis issuers update iss_000000001 --scope memory:read --scope memory:write",
    ),
    ("key", "portcullis key inspect -"),
    ("key inspect", "pbpaste | portcullis key inspect -"),
    ("keys admin", "portcullis keys admin --org org_000000001"),
    (
        "keys create",
        "portcullis keys create --name ci --preset read\n\
         portcullis keys create --name ci --scopes memory:read,memory:write --expires-at 2030-01-31T00:00:00Z",
    ),
    (
        "keys list",
        "portcullis keys list --status active\n\
         portcullis keys list --name ci --limit 10 --output json",
    ),
    ("keys master", "portcullis keys master rotate"),
    (
        "keys quarantine",
        "portcullis keys quarantine key_000000001 --ceiling read --comment 'looking into it'",
    ),
    ("keys release", "portcullis keys release key_000000001"),
    (
        "keys rename",
        "portcullis keys rename key_000000001 'nightly build'",
    ),
    (
        "keys revoke",
        "portcullis keys revoke key_000000001 --reason key_compromise",
    ),
    (
        "keys rotate",
        "portcullis keys rotate key_000000001 --overlap-seconds 3600\n\
         portcullis keys rotate self",
    ),
    ("keys show", "portcullis keys show key_000000001"),
    ("keys signing", "portcullis keys signing list"),
    ("keys signing list", "portcullis keys signing list"),
    (
        "keys signing rotate",
        "portcullis keys signing rotate --purpose api-key",
    ),
    (
        "login",
        "portcullis login --url https://auth.example.com\n\
         portcullis login --url https://auth.staging.example.com --profile staging",
    ),
    ("logout", "portcullis logout --profile staging"),
    (
        "members deactivate",
        "portcullis members deactivate usr_000000001",
    ),
    (
        "members erase",
        "portcullis members erase usr_000000001 --confirm usr_000000001",
    ),
    ("members list", "portcullis members list"),
    ("members resume", "portcullis members resume usr_000000001"),
    ("members role", "portcullis members role usr_000000001 viewer"),
    ("members show", "portcullis members show usr_000000001"),
    ("members suspend", "portcullis members suspend usr_000000001"),
    ("migrate", "portcullis migrate"),
    ("openapi", "portcullis openapi > openapi.json"),
    ("revocations", "portcullis revocations show rev_000000001"),
    (
        "revocations credentials",
        "portcullis revocations credentials rev_000000001 --output json",
    ),
    ("revocations show", "portcullis revocations show rev_000000001"),
    (
        "revoke client",
        "portcullis revoke client cli_000000001 --reason key_compromise --comment 'its laptop was stolen'",
    ),
    ("revoke grant", "portcullis revoke grant grt_000000001"),
    (
        "revoke issuer",
        "portcullis revoke issuer https://acme.eu.auth0.com/",
    ),
    (
        "revoke key",
        "portcullis revoke key key_000000001 --reason key_compromise",
    ),
    (
        "revoke org",
        "portcullis revoke org org_000000001 --reason key_compromise",
    ),
    ("revoke session", "portcullis revoke session ses_000000001"),
    ("revoke signing-key", "portcullis revoke signing-key k3"),
    (
        "revoke user",
        "portcullis revoke user usr_000000001 --reason key_compromise",
    ),
    ("revoke workspace", "portcullis revoke workspace ws_000000001"),
    (
        "revoke where",
        "portcullis revoke where --name-prefix ci- --created-before 2026-01-01T00:00:00Z --dry-run",
    ),
    (
        "serve",
        "portcullis --config /etc/portcullis/portcullis.toml serve",
    ),
    ("whoami", "portcullis whoami --profile staging"),
];

/// The command with an example below the help of each command that has none of its own.
pub(super) fn add(command: Command) -> Command {
    walk(command, "")
}

fn walk(mut command: Command, path: &str) -> Command {
    if command.get_after_help().is_none()
        && let Some((_, text)) = EXAMPLES.iter().find(|(name, _)| *name == path)
    {
        let several = if text.contains('\n') {
            "Examples"
        } else {
            "Example"
        };
        command = command.after_help(format!("{several}:\n  {}", text.replace('\n', "\n  ")));
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        let below = format!("{path} {name}");
        command = command.mut_subcommand(name, |sub| walk(sub, below.trim_start()));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    /// The words of a line as a shell would give them; quotes only as far as examples use them.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (number, part) in line.split('\'').enumerate() {
            if number % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    /// The calls in a help text: what follows `portcullis ` up to a pipe, a redirection or a remark.
    fn calls(help: &str) -> Vec<String> {
        let joined = help.replace("\\\n", " ");
        let call = |line: &str| {
            let line = line.trim_start();
            let at = line.find("portcullis ").filter(|at| {
                // At the beginning, after a variable, or behind a pipe; not within a sentence.
                *at == 0 || line[..*at].contains('=') || line[..*at].contains('|')
            })?;
            let call = &line[at..];
            // A remark stands after at least four blanks; continued lines were joined with some, too.
            let call = call.split("    ").filter(|part| !part.trim().is_empty());
            let mut kept: Vec<&str> = Vec::new();
            for part in call {
                if kept.is_empty() || part.trim_start().starts_with("--") {
                    kept.push(part);
                } else {
                    break;
                }
            }
            let call = kept.join(" ");
            let end = call
                .find([';', '<', '>', '|'])
                .filter(|at| !call[..*at].contains('\''));
            let call = &call[..end.unwrap_or(call.len())];
            (!call.contains('…')).then(|| call.trim().to_owned())
        };
        joined.lines().filter_map(call).collect()
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_right() {
        fn look(command: &Command, path: &str, missing: &mut Vec<String>, wrong: &mut Vec<String>) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let calls = calls(&help);
            let own = format!("portcullis {path}");
            let mut there = false;
            for call in &calls {
                let words = words(call);
                if let Err(error) = Cli::command().try_get_matches_from(&words)
                    && error.kind() != clap::error::ErrorKind::DisplayHelp
                {
                    wrong.push(format!("{call}\n  {error}"));
                }
                let plain = words.join(" ");
                there |= path.split(' ').all(|word| plain.contains(word)) || plain.starts_with(&own);
            }
            if !there {
                missing.push(own);
            }
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                let below = format!("{path} {}", sub.get_name());
                look(sub, below.trim_start(), missing, wrong);
            }
        }
        let command = add(Cli::command());
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for sub in command.get_subcommands() {
            look(sub, sub.get_name(), &mut missing, &mut wrong);
        }
        assert!(missing.is_empty(), "no example: {missing:#?}");
        assert!(wrong.is_empty(), "wrong examples:\n{}", wrong.join("\n"));
    }

    #[test]
    fn no_example_is_for_a_command_that_is_gone() {
        let command = Cli::command();
        for (path, _) in EXAMPLES {
            let mut here = &command;
            for name in path.split(' ') {
                let next = here.find_subcommand(name);
                here = next.unwrap_or_else(|| panic!("there is no command {path}"));
            }
        }
    }
}

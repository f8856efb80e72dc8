//! Every setting with what counts where nothing was set: what `config check` prints.
//!
//! What it leaves out: `clients.open_scopes` and `clients.default_scopes`, whose defaults come of the route policy, and what is
//! off unless it is set (`metrics_listen`, `policy_file`, a mail server).

use super::{Canary, Clients, Config, Device, Factors, Fetch, Keys, Mail, RateLimits, SignIn, SignUp};

impl Config {
    /// The same configuration with its defaults spelled out.
    pub(super) fn effective(&self) -> Self {
        Self {
            incarnation_file: Some(self.incarnation_path()),
            keys: Keys {
                self_rotations_per_hour: Some(self.self_rotations_per_hour()),
                ..self.keys.clone()
            },
            canary: Canary {
                enabled: Some(self.has_canary()),
                ..self.canary.clone()
            },
            sign_in: SignIn {
                failures_per_account: Some(self.sign_in_failures_per_account()),
                failures_per_address: Some(self.sign_in_failures_per_address()),
                successes_per_account: Some(self.sign_in_successes_per_account()),
                ..self.sign_in.clone()
            },
            device: Device {
                guesses_per_user: Some(self.device_guesses_per_user()),
                guesses_per_address: Some(self.device_guesses_per_address()),
                ..self.device.clone()
            },
            sign_up: SignUp {
                enabled: Some(self.sign_up_enabled()),
            },
            mail: self.effective_mail(),
            rate_limits: self.spelled_rate_limits(),
            factors: Factors {
                failures_per_account: Some(self.factor_failures_per_account()),
                failures_per_address: Some(self.factor_failures_per_address()),
                ..self.factors.clone()
            },
            clients: Clients {
                registration: Some(self.registration_is_open()),
                registrations_per_hour: Some(self.registrations_per_hour()),
                look_ups_per_hour: Some(self.look_ups_per_hour()),
                ..self.clients.clone()
            },
            fetch: Fetch {
                allow_loopback: Some(self.fetches_loopback()),
            },
            ..self.clone()
        }
    }

    fn effective_mail(&self) -> Mail {
        Mail {
            smtp_port: self.mail.smtp_host.as_ref().map(|_| self.mail.port()),
            requests_per_account: Some(self.mails_per_account()),
            requests_per_address: Some(self.mails_per_address()),
            invitations_per_org: Some(self.invitations_per_org()),
            ..self.mail.clone()
        }
    }

    fn spelled_rate_limits(&self) -> RateLimits {
        let limits = self.effective_rate_limits();
        RateLimits {
            requests_per_address: Some(limits.requests_per_address),
            calls_per_credential: Some(limits.calls_per_credential),
            requests_per_client: Some(limits.requests_per_client),
            failures_per_client: Some(limits.failures_per_client),
            failures_per_address: Some(limits.failures_per_address),
        }
    }
}

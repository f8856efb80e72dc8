//! What `make dev` prints when everything answers. No secret is printed: they are in `dev.env`.

use e2e::files;

use crate::{Running, settings::Settings};

/// Prints the tour, and `ready` last.
pub(crate) fn print(settings: &Settings, running: &Running, email: &str) {
    let state = settings
        .state
        .strip_prefix(files::root())
        .unwrap_or(&settings.state)
        .display();
    let (control, edge) = (running.control.url(), settings.edge_url());
    let program =
        files::portcullis().map_or_else(|_| "portcullis".to_owned(), |path| path.display().to_string());
    println!(
        "
  dashboard      {control}/dashboard   (with a month of demo data)
  sign in        {email}, password: PORTCULLIS_ADMIN_PASSWORD in {state}/dev.env
  control plane  {control}
  edge           {edge}   (workerd)
  demo origin    http://{origin}   (echoes what reaches it)
  state, logs    {state}/

A tour, in another terminal:

  set -a; . {state}/dev.env; set +a

  # A read key, checked at the edge from memory, then the origin's answer:
  curl -si \"$PORTCULLIS_EDGE_URL/v1/memory/retrieve?q=example\" -H \"Authorization: Bearer $PORTCULLIS_DEMO_KEY\"

  # A new key of your own (the answer shows it once):
  curl -s -X POST \"$PORTCULLIS_EDGE_URL/v1/auth/keys\" -H \"Authorization: Bearer $PORTCULLIS_ADMIN_KEY\" \\
    -H 'Content-Type: application/json' -d '{{\"name\":\"tour\",\"scope\":\"read\",\"workspace\":\"all\",\"environment\":\"live\"}}'

  # Revoke it by its id; the receipt says from when on the edge refuses it. Then use it again: 401.
  curl -s -X DELETE \"$PORTCULLIS_EDGE_URL/v1/auth/keys/key_...\" -H \"Authorization: Bearer $PORTCULLIS_ADMIN_KEY\"

  # Take the demo data away:
  (cd {state} && {program} demo remove)

Ctrl-C stops everything.

ready",
        origin = settings.origin,
    );
}

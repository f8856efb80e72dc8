//! Telling others, fairly: what waits for many is delivered side by side, so that nobody who is slow, or does not answer, holds up
//! somebody else. A few at a time to each target and to the targets of one organisation; whoever has least under way and was
//! served longest ago comes next; and a place that is free again is filled at once.
//!
//! What it does not: know what is delivered, or when it is tried again. Places are counted in this process; others have their own.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use crate::app::App;
use crate::store::StoreError;

/// Deliveries under way at a time.
const ALL: usize = 64;
/// Of one organisation.
const PER_ORG: usize = 4;
/// How often somebody looks what became due, while others do not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Somebody for whom something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whose; 0: nobody's.
    pub(crate) org: u64,
    /// Which webhook, which client.
    pub(crate) target: u64,
    /// As many at a time.
    pub(crate) most: usize,
}

/// What waits to be delivered.
pub(crate) trait Queue: 'static {
    /// One of them.
    type Message: Send + 'static;

    /// For whom something is due.
    fn due(app: &App) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// Takes what has been due for longest, so that nobody else gets it.
    fn take(app: &App, target: u64)
    -> impl Future<Output = Result<Option<Self::Message>, StoreError>> + Send;

    /// Delivers it, and notes what became of it.
    fn deliver(app: Arc<App>, message: Self::Message) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Delivers what is due, until nothing is. After a failure of ours nothing more is begun, and what is under way ends.
pub(crate) async fn deliver_due<Q: Queue>(app: Arc<App>) -> anyhow::Result<()> {
    let mut places = Places::default();
    let mut tasks = JoinSet::new();
    let mut failure = None;
    loop {
        if failure.is_none() {
            failure = fill::<Q>(&app, &mut tasks, &mut places).await.err();
        }
        let Ok(ended) = tokio::time::timeout(LOOK_AGAIN, tasks.join_next_with_id()).await else {
            continue;
        };
        let outcome = match ended {
            None => return failure.map_or(Ok(()), Err),
            Some(Ok((id, outcome))) => {
                places.leave(id);
                outcome
            }
            Some(Err(error)) => {
                places.leave(error.id());
                Err(error.into())
            }
        };
        if let Err(error) = outcome {
            failure.get_or_insert(error);
        }
    }
}

async fn fill<Q: Queue>(
    app: &Arc<App>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    places: &mut Places,
) -> anyhow::Result<()> {
    if places.taken.len() >= ALL {
        return Ok(());
    }
    let mut waiting = Q::due(app).await?;
    while let Some(at) = places.next(&waiting) {
        let due = waiting.swap_remove(at);
        if let Some(message) = Q::take(app, due.target).await? {
            let task = tasks.spawn(Q::deliver(Arc::clone(app), message));
            places.enter(task.id(), due);
            waiting.push(due);
        }
    }
    Ok(())
}

/// Who has something under way, and who was served when.
#[derive(Debug, Default)]
struct Places {
    taken: HashMap<Id, Due>,
    /// The newest turn of each organisation, and of each target.
    orgs: BTreeMap<u64, u64>,
    targets: BTreeMap<u64, u64>,
    turn: u64,
}

impl Places {
    fn of_org(&self, due: &Due) -> usize {
        self.taken.values().filter(|other| other.org == due.org).count()
    }

    fn of_target(&self, due: &Due) -> usize {
        let taken = self.taken.values();
        taken.filter(|other| other.target == due.target).count()
    }

    fn has_room(&self, due: &Due) -> bool {
        self.taken.len() < ALL && self.of_org(due) < PER_ORG && self.of_target(due) < due.most
    }

    /// Who comes next, if there is a place.
    fn next(&self, waiting: &[Due]) -> Option<usize> {
        let waiting = waiting.iter().enumerate();
        let next = waiting
            .filter(|(_, due)| self.has_room(due))
            .min_by_key(|(_, due)| {
                (
                    self.of_org(due),
                    self.orgs.get(&due.org),
                    self.of_target(due),
                    self.targets.get(&due.target),
                )
            });
        next.map(|(at, _)| at)
    }

    fn enter(&mut self, task: Id, due: Due) {
        self.turn = self.turn.saturating_add(1);
        self.orgs.insert(due.org, self.turn);
        self.targets.insert(due.target, self.turn);
        self.taken.insert(task, due);
    }

    fn leave(&mut self, task: Id) {
        self.taken.remove(&task);
    }
}

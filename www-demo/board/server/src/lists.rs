//! The lists, and the hub that serves them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, stream};
use hubwire::server::{Caller, HubError, HubResult, error::SendError};
use hubwire_board_contract::{Board, BoardHub, Task};
use tokio::sync::watch;

const MAX_LISTS: usize = 1000;
const MAX_TASKS: usize = 100;
const MAX_TEXT: usize = 200;
const MAX_NAME: usize = 40;
/// How many of a list's visitors are named.
const MAX_VISITORS: usize = 50;
/// How long a user may think.
const PATIENCE: Duration = Duration::from_secs(60);

/// All lists, by their names. They stay until the server ends.
#[derive(Debug, Default)]
pub(crate) struct Lists(Mutex<HashMap<String, Arc<List>>>);

/// One list. Those who watch it see the newest state, and may miss some in between.
#[derive(Debug)]
struct List {
    name: String,
    tasks: watch::Sender<Vec<Task>>,
}

/// What belongs to a connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    name: String,
    list: Arc<List>,
}

impl BoardHub for Lists {
    type Session = Visitor;

    async fn connected(&self, who: Caller<Board>) -> HubResult<Visitor> {
        let (Some(user), Some(list)) = (who.user_id(), who.query("list")) else {
            return Err(HubError::new(
                "say who you are and which list you want: /board?user=Ann&list=shopping",
            ));
        };
        let list = self.open(checked(list, MAX_NAME)?)?;
        who.groups().add(who.connection_id(), &list.name).await?;
        let visitor = Visitor { name: checked(user, MAX_NAME)?.to_owned(), list };
        show_visitors(&who, &visitor.list).await?;
        Ok(visitor)
    }

    async fn disconnected(&self, who: Caller<Board, Visitor>) {
        // The visitors who are still there can do without it.
        let _ = show_visitors(&who, &who.session().list).await;
    }

    fn tasks(&self, who: Caller<Board, Visitor>) -> impl Stream<Item = HubResult<Vec<Task>>> + Send {
        let mut tasks = who.session().list.tasks.subscribe();
        tasks.mark_changed();
        stream::unfold(tasks, |mut tasks| async move {
            tasks.changed().await.ok()?;
            let now = tasks.borrow_and_update().clone();
            Some((Ok(now), tasks))
        })
    }

    async fn add(&self, who: Caller<Board, Visitor>, text: String) -> HubResult {
        let Visitor { name, list } = who.session();
        let text = checked(&text, MAX_TEXT)?;
        let is_added = list.tasks.send_if_modified(|tasks| {
            let has_room = tasks.len() < MAX_TASKS;
            if has_room {
                let id = tasks.last().map_or(1, |last| last.id + 1);
                tasks.push(Task { id, text: text.to_owned(), by: name.clone(), is_done: false });
            }
            has_room
        });
        if !is_added {
            return Err(HubError::new(format!("a list has at most {MAX_TASKS} tasks")));
        }
        notice(&who, &format!("added “{text}”")).await
    }

    async fn set_done(&self, who: Caller<Board, Visitor>, id: u64, is_done: bool) -> HubResult {
        let mut changed = None;
        who.session().list.tasks.send_if_modified(|tasks| {
            let task = tasks.iter_mut().find(|task| task.id == id && task.is_done != is_done);
            changed = task.map(|task| {
                task.is_done = is_done;
                task.text.clone()
            });
            changed.is_some()
        });
        let Some(text) = changed else { return Ok(()) };
        notice(&who, &format!("has “{text}” {}", if is_done { "done" } else { "to do again" })).await
    }

    async fn clear(&self, who: Caller<Board, Visitor>) -> HubResult<usize> {
        let tasks = &who.session().list.tasks;
        let done: Vec<u64> = tasks.borrow().iter().filter(|task| task.is_done).map(|task| task.id).collect();
        let question = format!("Take {} off the list?", done.len());
        let caller = who.clients().caller();
        if done.is_empty() || !tokio::time::timeout(PATIENCE, caller.confirm(&question)).await?? {
            return Ok(0);
        }
        // What was done meanwhile stays: the user was not asked about it.
        tasks.send_modify(|tasks| tasks.retain(|task| !(task.is_done && done.contains(&task.id))));
        notice(&who, &format!("took {} off the list", done.len())).await?;
        Ok(done.len())
    }
}

impl Lists {
    fn open(&self, name: &str) -> HubResult<Arc<List>> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(name) {
            return Ok(list.clone());
        }
        if lists.len() >= MAX_LISTS {
            return Err(HubError::new("there are too many lists"));
        }
        let list = Arc::new(List { name: name.to_owned(), tasks: watch::Sender::default() });
        lists.insert(name.to_owned(), list.clone());
        Ok(list)
    }
}

/// Tells all on a list who is there.
async fn show_visitors<S>(who: &Caller<Board, S>, list: &List) -> Result<(), SendError>
where
    S: Send + Sync + 'static,
{
    let members = who.groups().members(&list.name, None, MAX_VISITORS).await?;
    let mut names: Vec<String> = members.into_iter().filter_map(|(_, user)| user).collect();
    names.sort();
    names.dedup();
    who.clients().group(&list.name).visitors(names).await
}

/// Tells the others on the caller's list what it has done.
async fn notice(who: &Caller<Board, Visitor>, what: &str) -> HubResult {
    let Visitor { name, list } = who.session();
    Ok(who.clients().others_in_group(&list.name).noticed(name, what).await?)
}

fn checked(text: &str, most: usize) -> HubResult<&str> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most {
        return Err(HubError::new(format!("write between 1 and {most} characters")));
    }
    Ok(text)
}

//! The hubs: one whose methods are closures, and one that `hub!` describes. Nothing in them takes time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt as _, stream};
use hubwire::server::{Caller, HubError, HubResult, HubServer, HubServerBuilder, Incoming};
use hubwire::{Binary, Timestamp, Upload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    name: String,
    #[serde(default)]
    count: u32,
    #[serde(default)]
    sizes: Vec<Option<f64>>,
    #[serde(default)]
    kind: Kind,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Small,
    Other(String),
    Large {
        by: i8,
    },
}

macro_rules! echoes {
    ($($name:literal: $type:ty;)*) => {
        /// Methods that return their argument, of one type each.
        fn echoes(hub: HubServerBuilder) -> HubServerBuilder {
            hub$(.on($name, |_: Caller, value: $type| async move { Ok(value) }))*
        }

        /// What such a method makes of its arguments as serde_json reads them: its result, or nothing if they are not
        /// of its type. `None` for other methods.
        pub(super) fn reference(target: &str, arguments: &str) -> Option<Option<String>> {
            match target {
                $($name => Some(same::<$type>(arguments)),)*
                _ => None,
            }
        }
    };
}

echoes! {
    "Bool": bool;
    "Byte": u8;
    "Char": char;
    "Double": f64;
    "Int": i32;
    "Item": Item;
    "Items": Vec<Option<Item>>;
    "Long": i64;
    "Map": BTreeMap<String, i64>;
    "Nothing": ();
    "Nullable": Option<i64>;
    "Pair": (String, [u16; 2]);
    "String": String;
    "ULong": u64;
}

fn same<T: DeserializeOwned + Serialize>(arguments: &str) -> Option<String> {
    let (value,) = serde_json::from_str::<(T,)>(arguments).ok()?;
    serde_json::to_string(&value).ok()
}

pub(super) fn untyped() -> HubServerBuilder {
    echoes(HubServer::builder())
        .on("Any", |_: Caller, value: serde_json::Value| async move { Ok(value) })
        .on("Bytes", |_: Caller, value: Binary| async move { Ok(value) })
        .on("Time", |_: Caller, value: Timestamp| async move { Ok(value) })
        .on("Add", |_: Caller, one: i64, other: i64| async move { Ok(one.wrapping_add(other)) })
        .on("Void", |_: Caller| async move { Ok(()) })
        .on("Fail", |_: Caller, text: String| async move { Err::<(), _>(HubError::new(text)) })
        .on("Join", |caller: Caller, group: String| async move {
            Ok(caller.groups().add(caller.connection_id(), &group).await?)
        })
        .on("Tell", |caller: Caller, group: String, what: serde_json::Value| async move {
            Ok(caller.clients().group(group).send("Told", (what,)).await?)
        })
        .on("Sum", |_: Caller, numbers: Incoming<i64>| sum(numbers))
        .on("Both", |_: Caller, from: i64, numbers: Incoming<i64>, texts: Incoming<String>| async move {
            Ok((sum(numbers).await?.wrapping_add(from), lengths(texts).await?))
        })
        .stream("Count", |_: Caller, to: u8| stream::iter((0..to).map(Ok)))
        .stream("Echoes", |_: Caller, items: Incoming<Item>| {
            items.map(|item| -> HubResult<Item> { Ok(item?) })
        })
}

async fn sum(mut numbers: Incoming<i64>) -> HubResult<i64> {
    let mut sum = 0_i64;
    while let Some(number) = numbers.next().await {
        sum = sum.wrapping_add(number?);
    }
    Ok(sum)
}

async fn lengths(mut texts: Incoming<String>) -> HubResult<usize> {
    let mut lengths = 0;
    while let Some(text) = texts.next().await {
        lengths += text?.len();
    }
    Ok(lengths)
}

hubwire::hub! {
    trait Shop: Hub<ShopClient> + Served<ShopHub> {
        fn put(item: &Item, at: Option<u8>) -> usize;
        fn take(name: &str) -> Option<Item>;
        fn pair(names: &[&str], numbers: (i8, u64)) -> Vec<String>;
        #[name = "raw.bytes"]
        fn raw(bytes: &Binary, time: &Timestamp) -> (usize, Timestamp);
        send fn forget(names: &[String; 2]);
        fn lengths(from: usize, texts: Upload<&str>) -> usize;
        stream fn count(to: u8, by: i8) -> i8;
        stream fn upper(texts: Upload<String>, kind: &Kind) -> String;
    }

    trait ShopClient {
        fn has(name: String, count: usize);
    }
}

pub(super) fn typed() -> HubServerBuilder {
    Shop::serve(Shelves)
}

struct Shelves;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ShopHub for Shelves {
    /// What a client has put there.
    type Session = Mutex<Vec<Item>>;

    async fn connected(&self, _: Caller<Shop>) -> HubResult<Self::Session> {
        Ok(Mutex::default())
    }

    async fn put(&self, who: Caller<Shop, Self::Session>, item: Item, at: Option<u8>) -> HubResult<usize> {
        let (name, count) = {
            let mut items = lock(who.session());
            let at = at.map_or(items.len(), usize::from).min(items.len());
            items.insert(at, item);
            (items[at].name.clone(), items.len())
        };
        who.clients().caller().has(&name, count).await?;
        Ok(count)
    }

    async fn take(&self, who: Caller<Shop, Self::Session>, name: String) -> HubResult<Option<Item>> {
        let mut items = lock(who.session());
        let at = items.iter().position(|item| item.name == name);
        Ok(at.map(|at| items.remove(at)))
    }

    async fn pair(
        &self,
        _: Caller<Shop, Self::Session>,
        names: Vec<String>,
        (one, other): (i8, u64),
    ) -> HubResult<Vec<String>> {
        Ok(names.into_iter().map(|name| format!("{name}{one}{other}")).collect())
    }

    async fn raw(
        &self,
        _: Caller<Shop, Self::Session>,
        bytes: Binary,
        time: Timestamp,
    ) -> HubResult<(usize, Timestamp)> {
        Ok((bytes.0.len(), time))
    }

    async fn forget(&self, who: Caller<Shop, Self::Session>, names: [String; 2]) -> HubResult {
        lock(who.session()).retain(|item| !names.contains(&item.name));
        Ok(())
    }

    async fn lengths(
        &self,
        _: Caller<Shop, Self::Session>,
        from: usize,
        texts: Incoming<String>,
    ) -> HubResult<usize> {
        Ok(from.wrapping_add(lengths(texts).await?))
    }

    fn count(
        &self,
        _: Caller<Shop, Self::Session>,
        to: u8,
        by: i8,
    ) -> impl Stream<Item = HubResult<i8>> + Send {
        stream::iter((0..to).map(move |number| Ok((number as i8).wrapping_mul(by))))
    }

    fn upper(
        &self,
        _: Caller<Shop, Self::Session>,
        texts: Incoming<String>,
        kind: Kind,
    ) -> impl Stream<Item = HubResult<String>> + Send {
        texts.map(move |text| Ok(format!("{kind:?}{}", text?.to_uppercase())))
    }
}

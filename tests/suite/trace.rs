//! Trace context in the headers of calls, which every hub has to take.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use hubwire::{TraceContext, Upload};
use tracing::Span;

use super::SETUPS;

struct Fixed;

impl TraceContext for Fixed {
    fn inject(&self, _: &Span, headers: &mut HashMap<String, String>) {
        headers
            .insert("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        headers.insert("tracestate".into(), "vendor=\"\u{fc}\"".into());
    }

    fn extract(&self, _: &Span, _: &HashMap<String, String>) {}
}

/// Calls of each kind go through with headers, in each protocol.
pub(crate) async fn trace_context(base: &str) {
    for setup in SETUPS {
        let builder = setup.builder(format!("{base}{}", setup.path())).with_trace_context(Fixed);
        let hub = builder.connect().await.expect("connects");
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        hub.send("Void", ()).await.unwrap();
        let upload = Upload::new(stream::iter([1, 21]));
        let doubled = hub.stream::<i32>("Double", (upload,)).await.unwrap();
        let doubled: Vec<i32> = doubled.map(|item| item.expect("a number")).collect().await;
        assert_eq!(doubled, [2, 42], "{setup:?}");
        hub.stop().await;
    }
}

//! A message of the service protocol that is read is written so that it reads the same, and the same bytes come out.

use hubwire::core::framing::BinaryFraming;
use hubwire::core::service_protocol::{GroupMembers, parse, read_claims, write};

pub(crate) fn run(data: &[u8]) {
    let _ = GroupMembers::read(data);
    let _ = read_claims(data);
    let Ok(Some(message)) = parse(data) else { return };
    // An absent payload is written as nil, and that read as empty: it is settled after the second time.
    let (mut once, mut settled) = (Vec::new(), Vec::new());
    write(&mut once, &message);
    let once =
        BinaryFraming::default().take(&once, &mut Vec::new()).next().map(|frame| frame.map(<[u8]>::to_vec));
    let once = once.expect("a whole message").expect("a good length");
    write(&mut settled, &parse(&once).expect("what is written is read").expect("a known type"));
    let mut messages = 0;
    BinaryFraming::default()
        .feed(&settled, |bytes| {
            let mut again = Vec::new();
            write(&mut again, &parse(bytes)?.expect("a known type"));
            assert_eq!(again, settled);
            messages += 1;
            Ok(())
        })
        .expect("what is written is read");
    assert_eq!(messages, 1);
}

//! A broker that denies by attribute: only whoever has `role = "admin"` may speak to everyone, and only the UUIDs that are
//! named here may have that role: `cargo run --example policy -- 127.0.0.1:9999 UUID...`
use e_pigeon_core::{
    AttributesRef, Broker, BrokerConfig, DestinationRef, Policy, Requester, Target, Uuid, Value,
};
use e_pigeon_mio::BrokerLoop;
use std::net::ToSocketAddrs;

#[derive(Clone)]
struct Admins(Vec<Uuid>);

impl Policy for Admins {
    fn may_send(&self, from: Requester<'_>, to: DestinationRef<'_>) -> bool {
        let is_admin = from.attributes.get("role") == Some(Value::Str("admin"));
        is_admin || !matches!(to.target(), Target::Everyone)
    }

    fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        attributes.get("role") != Some(Value::Str("admin")) || self.0.contains(&who)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: policy HOST:PORT UUID...")?;
    let admins = arguments.map(|uuid| uuid.parse()).collect::<Result<_, _>>()?;
    // Strangers may connect, so they should not know how the hash tables are keyed.
    let config = BrokerConfig::new(getrandom::u64()?);
    let admins = Admins(admins);
    let broker = Broker::with_policy(config.clone(), getrandom::u64()?, admins.clone())?;
    let mut broker = BrokerLoop::with_broker(broker)?;
    // If the broker finds a bug in itself, another one takes its place, with the same policy and a new epoch.
    broker
        .driver()
        .renew_with(move || Broker::with_policy(config.clone(), getrandom::u64().ok()?, admins.clone()).ok());
    let address = address.to_socket_addrs()?.next().ok_or("the name has no address")?;
    println!("listening on {}", broker.bind(address)?);
    Ok(broker.run()?)
}

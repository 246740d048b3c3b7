//! Which machines a call may reach.
//!
//! Whoever may deploy a workflow chooses what the worker connects to, and data may choose it too. From where the worker stands, much
//! is in reach that was never meant for them: the neighbours, the cloud's metadata service, the worker's own machine. So only public
//! addresses are reached unless the operator says otherwise. A name is resolved, each address is judged, and the connection
//! is made to an address that was judged: a name that changes its mind in between gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::TaskFailure;

/// Where calls may go. Public addresses, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    loopback: bool,
    private: bool,
}

impl Targets {
    /// Public addresses only.
    pub const PUBLIC: Self = Self { loopback: false, private: false };

    /// This machine as well.
    #[must_use]
    pub const fn and_loopback(self) -> Self {
        Self { loopback: true, ..self }
    }

    /// Private networks as well (RFC 1918, RFC 4193, and the shared addresses of carriers). Link-local addresses, where clouds serve
    /// the credentials of their machines, are never reached.
    #[must_use]
    pub const fn and_private(self) -> Self {
        Self { private: true, ..self }
    }

    /// # Errors
    /// When the address is none that calls may go to.
    pub(crate) fn check(self, address: IpAddr) -> Result<(), Refused> {
        let kind = Kind::of(address);
        let is_allowed = match kind {
            Kind::Public => true,
            Kind::Loopback => self.loopback,
            Kind::Private => self.private,
            Kind::Metadata | Kind::LinkLocal | Kind::Multicast | Kind::Reserved => false,
        };
        if is_allowed { Ok(()) } else { Err(Refused { kind }) }
    }

    /// # Errors
    /// When the URL names an address that calls may not go to. Names are judged when they are resolved.
    pub(crate) fn check_url(self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        // IPv6 stands in brackets. Other spellings of an IPv4 address (`0x7f.1`) were made plain when the URL was read.
        match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => self.check(address),
            Err(_) => Ok(()),
        }
    }
}

impl Targets {
    /// The addresses of a host that calls may go to.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn resolve(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, TaskFailure> {
        let found = tokio::net::lookup_host((host, port)).await.map_err(|error| {
            TaskFailure::communication(format!("the name {host:?} cannot be resolved"), 503, true)
                .with_detail(error.to_string())
        })?;
        allowed(self, &found.collect::<Vec<_>>()).map_err(|refused| {
            let title = format!("{host} has {refused}, and calls may not go there");
            TaskFailure::authorization(title).with_detail(refused.fix())
        })
    }
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Public,
    Loopback,
    Private,
    /// Where a cloud tells its machines who they are.
    Metadata,
    LinkLocal,
    Multicast,
    /// Unspecified, broadcast, for documentation, or without a use yet.
    Reserved,
}

/// Metadata services that have no link-local address: of AWS over IPv6, of Alibaba, of Azure's host.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

impl Kind {
    fn of(address: IpAddr) -> Self {
        if METADATA.contains(&address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(it) => Self::of_v4(it),
            IpAddr::V6(it) => Self::of_v6(it),
        }
    }

    /// By the IANA registry of special-purpose addresses.
    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [10, ..] | [192, 168, ..] => Self::Private,
            [172, second, ..] if second & 0xf0 == 16 => Self::Private,
            [100, second, ..] if second & 0xc0 == 64 => Self::Private,
            [169, 254, ..] => Self::LinkLocal,
            [first, ..] if first & 0xf0 == 224 => Self::Multicast,
            [0 | 240.., ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        let last = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
        match segments {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            // An IPv4 address in another dress: mapped, through NAT64, through 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Self::of(IpAddr::V4(last(high, low)))
            }
            [0x2002, high, low, ..] => Self::of(IpAddr::V4(last(high, low))),
            [first, ..] if first & 0xfe00 == 0xfc00 => Self::Private,
            [first, ..] if first & 0xffc0 == 0xfe80 => Self::LinkLocal,
            [first, ..] if first & 0xff00 == 0xff00 => Self::Multicast,
            // Protocol assignments (Teredo among them) and documentation.
            [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => Self::Reserved,
            // All that is given out for global use so far.
            [first, ..] if first & 0xe000 == 0x2000 => Self::Public,
            _ => Self::Reserved,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Metadata => "metadata service's",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        }
    }
}

/// A target that calls may not reach. It tells the kind of the address and not the address: what names mean inside of a network
/// is none of a workflow's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {} address", .kind.name())]
pub(crate) struct Refused {
    pub(crate) kind: Kind,
}

impl Refused {
    /// What the operator can do about it.
    pub(crate) fn fix(self) -> &'static str {
        match self.kind {
            Kind::Loopback | Kind::Private => {
                "if calls may go there, start the built-in worker with --allow-private-networks"
            }
            Kind::Public | Kind::Metadata | Kind::LinkLocal | Kind::Multicast | Kind::Reserved => {
                "no setting allows it; call something else"
            }
        }
    }
}

/// Resolves names by the system, and gives only addresses that calls may go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardedResolver(pub(crate) Targets);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = self.0;
        Box::pin(async move {
            // The client puts the URL's port in the place of 0.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(allowed(targets, &found)?.into_iter()) as Addrs)
        })
    }
}

/// # Errors
/// When there are addresses, and none that calls may go to.
fn allowed(targets: Targets, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refused> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for address in found {
        match targets.check(address.ip()) {
            Ok(()) => allowed.push(*address),
            Err(it) => refused = Some(it),
        }
    }
    match refused {
        Some(refused) if allowed.is_empty() => Err(refused),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_what_the_registries_say() {
        for (kind, addresses) in [
            (
                Kind::Public,
                "1.1.1.1 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 223.255.255.255 2606:4700::1111 64:ff9b::101:101",
            ),
            (Kind::Loopback, "127.0.0.1 127.255.0.3 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::"),
            (
                Kind::Private,
                "10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fdff::1 ::ffff:10.0.0.1",
            ),
            (Kind::Metadata, "fd00:ec2::254 100.100.100.200 168.63.129.16 ::ffff:168.63.129.16"),
            (Kind::LinkLocal, "169.254.169.254 fe80::1 febf::1 ::ffff:169.254.169.254"),
            (Kind::Multicast, "224.0.0.1 239.255.255.255 ff02::1"),
            (
                Kind::Reserved,
                "0.0.0.0 0.1.2.3 192.0.0.192 192.0.2.1 198.18.0.1 198.19.1.1 198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 \
                 :: ::7f00:1 2001::1 2001:db8::1 3fff::1 64:ff9b:1::1 100::1 4000::1 fec0::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
            }
        }
    }

    #[test]
    fn what_is_allowed_is_reached_and_nothing_else() {
        let is_reached = |targets: Targets, host: &str| {
            targets.check_url(&Url::parse(&format!("http://{host}/")).unwrap()).is_ok()
        };
        let (public, dev) = (Targets::PUBLIC, Targets::PUBLIC.and_loopback());
        let all = dev.and_private();
        for (host, expected) in [
            ("1.1.1.1", [true, true, true]),
            ("127.0.0.1", [false, true, true]),
            ("[::1]", [false, true, true]),
            ("2130706433", [false, true, true]),
            ("0x7f.1", [false, true, true]),
            ("127.0.0.1.", [false, true, true]),
            ("10.0.0.1", [false, false, true]),
            ("169.254.169.254", [false, false, false]),
            ("0.0.0.0", [false, false, false]),
            ("[fd00:ec2::254]", [false, false, false]),
        ] {
            assert_eq!([public, dev, all].map(|it| is_reached(it, host)), expected, "{host}");
        }
    }

    #[test]
    fn of_a_name_only_the_allowed_addresses_are_left() {
        let addresses = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect()
        };
        let mixed = addresses("10.0.0.1 1.1.1.1 ::1");
        assert_eq!(allowed(Targets::PUBLIC, &mixed).unwrap(), addresses("1.1.1.1"));
        assert_eq!(
            allowed(Targets::PUBLIC, &addresses("::1")).unwrap_err().to_string(),
            "a loopback address"
        );
        assert_eq!(allowed(Targets::PUBLIC, &[]).unwrap(), []);
    }
}

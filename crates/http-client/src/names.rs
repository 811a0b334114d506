//! Names to addresses, without the C library.
//!
//! A static C library would load the system's modules for names (NSS), and an image may have none, or those of
//! another C library. So: the hosts file, then DNS with the servers, search domains and options of
//! `resolv.conf`. Without that file the server is 127.0.0.1, as `resolv.conf(5)` has it. Both files are read for
//! every name, and no answer is kept: a service that moves is found at its new address.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name as DnsName,
    system_conf::parse_resolv_conf,
};
use reqwest::dns::{Name, Resolve, Resolving};

/// Where names are looked up. Cheap to clone; clones share their sockets.
#[derive(Clone)]
pub(crate) struct Names(Arc<Sources>);

struct Sources {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// The port of every DNS server; 53 but in tests.
    port: u16,
    dns: Mutex<Option<Dns>>,
}

/// What was made of a `resolv.conf`.
struct Dns {
    text: Vec<u8>,
    resolver: TokioResolver,
}

/// A name has no address, or nobody could be asked.
#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("{name:?} can't be looked up")]
    NotAName {
        name: String,
        #[source]
        source: hickory_resolver::proto::ProtoError,
    },
    #[error("looking up {name}")]
    Lookup {
        name: String,
        #[source]
        source: NetError,
    },
    #[error("the name lookup was interrupted")]
    Interrupted,
}

impl Names {
    /// As the system's files say. Reads nothing yet.
    pub(crate) fn system() -> Self {
        Self::new("/etc/hosts".into(), "/etc/resolv.conf".into(), 53)
    }

    fn new(hosts: PathBuf, resolv_conf: PathBuf, port: u16) -> Self {
        let dns = Mutex::new(None);
        Self(Arc::new(Sources {
            hosts,
            resolv_conf,
            port,
            dns,
        }))
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let sources = Arc::clone(&self.0);
        let wanted = name.to_owned();
        let (known, dns) = tokio::task::spawn_blocking(move || {
            let known = sources.known(&wanted);
            let dns = known.is_empty().then(|| sources.dns());
            (known, dns)
        })
        .await
        .map_err(|_| NameError::Interrupted)?;
        let Some(dns) = dns else { return Ok(known) };
        let failed = |source| NameError::Lookup {
            name: name.to_owned(),
            source,
        };
        // Not from a string: that refuses the underscore of service names such as `executor_manager`.
        let dns_name = DnsName::from_ascii(name).map_err(|source| NameError::NotAName {
            name: name.to_owned(),
            source,
        })?;
        let found = dns
            .map_err(failed)?
            .lookup_ip(dns_name)
            .await
            .map_err(failed)?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        // A container often has no route for the other kind, and the first kind gets a head start.
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.lookup(name.as_str()).await?;
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}

impl Sources {
    /// The addresses that need no server. The hosts file goes before every search domain.
    fn known(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let hosts = fs::read(&self.hosts).unwrap_or_default();
        let found = in_hosts(&String::from_utf8_lossy(&hosts), name);
        let local = name.eq_ignore_ascii_case("localhost");
        if found.is_empty() && local {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        found
    }

    /// Who is asked, made anew when `resolv.conf` has changed.
    fn dns(&self) -> Result<TokioResolver, NetError> {
        let text = match fs::read(&self.resolv_conf) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let mut dns = self.dns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dns) = &*dns
            && dns.text == text
        {
            return Ok(dns.resolver.clone());
        }
        let resolver = self.resolver(&text)?;
        *dns = Some(Dns {
            text,
            resolver: resolver.clone(),
        });
        Ok(resolver)
    }

    fn resolver(&self, resolv_conf: &[u8]) -> Result<TokioResolver, NetError> {
        let (config, mut options) = settings(resolv_conf)?;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        let (domain, search, mut servers) = config.into_parts();
        for server in &mut servers {
            for connection in &mut server.connections {
                connection.port = self.port;
            }
        }
        let config = ResolverConfig::from_parts(domain, search, servers);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build()
    }
}

fn settings(resolv_conf: &[u8]) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let names_a_server = String::from_utf8_lossy(resolv_conf)
        .lines()
        .any(|line| line.trim_start().starts_with("nameserver"));
    if names_a_server {
        return parse_resolv_conf(resolv_conf);
    }
    let server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
    let config = ResolverConfig::from_name_servers(vec![server]);
    Ok((config, ResolverOpts::default()))
}

/// The addresses of `name` in a hosts file: an address and its names on each line, `#` begins a comment.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let address = words.next()?.parse().ok()?;
        let named = words.any(|word| word.eq_ignore_ascii_case(name));
        named.then_some(address)
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use tokio::{net::UdpSocket, task::JoinSet};

    use super::*;

    /// A DNS server that has one address for one name. Its questions must hold a single name each.
    async fn dns_server(name: &'static [u8], tasks: &mut JoinSet<()>) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tasks.spawn(async move {
            let mut packet = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                let answer = answer(&packet[..length], name);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        port
    }

    /// RFC 1035, section 4.1: 192.0.2.7 for an A question about `name`, "no such name" for any other name.
    fn answer(question: &[u8], name: &[u8]) -> Vec<u8> {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let known = question[12..end].eq_ignore_ascii_case(name);
        let is_a = question[end..end + 2] == [0, 1];
        let mut answer = question[..end + 4].to_vec();
        answer[2..4].copy_from_slice(&[0x81, if known { 0x80 } else { 0x83 }]);
        answer[6..12].copy_from_slice(&[0, u8::from(known && is_a), 0, 0, 0, 0]);
        if known && is_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        answer
    }

    fn names(hosts: &str, resolv_conf: &str, port: u16) -> (Names, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            folder.path().join("hosts"),
            folder.path().join("resolv.conf"),
        ];
        fs::write(&files[0], hosts).unwrap();
        fs::write(&files[1], resolv_conf).unwrap();
        let [hosts, resolv_conf] = files;
        (Names::new(hosts, resolv_conf, port), folder)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_hosts_file_may_have_comments_aliases_and_several_addresses() {
        let text =
            "# 9.9.9.9 b\n10.0.0.1 a Backend # c\n::1\tb\nnonsense b\n10.0.0.2 b.example b\n";
        assert_eq!(in_hosts(text, "backend"), [ip("10.0.0.1")]);
        assert_eq!(in_hosts(text, "b"), [ip("::1"), ip("10.0.0.2")]);
        assert!(in_hosts(text, "c").is_empty());
    }

    #[tokio::test]
    async fn the_hosts_file_and_localhost_need_no_server() {
        // Port 9 discards: whoever asks there waits for long.
        let hosts = "10.0.0.1 executor_manager\n";
        let (names, _folder) = names(hosts, "nameserver 127.0.0.1\nsearch example.net\n", 9);
        let found = names.lookup("executor_manager").await.unwrap();
        assert_eq!(found, [ip("10.0.0.1")]);
        let found = names.lookup("localhost").await.unwrap();
        assert_eq!(found, [ip("127.0.0.1"), ip("::1")]);
    }

    #[tokio::test]
    async fn a_name_with_an_underscore_is_found_by_a_search_domain() {
        let mut tasks = JoinSet::new();
        let port = dns_server(b"\x10executor_manager\x07example\x03net\0", &mut tasks).await;
        let (names, _folder) = names("", "nameserver 127.0.0.1\nsearch example.net\n", port);
        let found = names.lookup("executor_manager").await.unwrap();
        assert_eq!(found, [ip("192.0.2.7")]);
        let unknown = names.lookup("nobody").await.unwrap_err();
        assert!(matches!(unknown, NameError::Lookup { .. }), "{unknown}");
    }

    #[tokio::test]
    async fn a_missing_resolv_conf_asks_the_machine_itself_and_a_new_one_is_read() {
        let mut tasks = JoinSet::new();
        let port = dns_server(b"\x01a\x07example\x03net\0", &mut tasks).await;
        let (names, folder) = names("", "", port);
        let file = folder.path().join("resolv.conf");
        fs::remove_file(&file).unwrap();
        let found = names.lookup("a.example.net").await.unwrap();
        assert_eq!(found, [ip("192.0.2.7")]);
        names.lookup("a").await.unwrap_err();
        fs::write(&file, "nameserver 127.0.0.1\nsearch example.net\n").unwrap();
        assert_eq!(names.lookup("a").await.unwrap(), [ip("192.0.2.7")]);
    }
}

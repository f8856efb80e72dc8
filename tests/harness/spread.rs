//! An edge in pieces: hub, regions and gates as processes of their own, with a wire between hub and each region that can be
//! cut, so that a test can kill, wipe or part any of them.
//!
//! ```text
//! gate ──▶ region ──up──▶ hub ──down──▶ region        gate ──▶ hub (the publisher's messages, proofs)
//! ```

use std::{io, path::Path};

use crate::{Link, Objects, Port, Workerd, WorkerdConfig};

/// The platform's regions.
const NAMES: [&str; 6] = ["weur", "apac", "enam", "eeur", "wnam", "oc"];
/// One region: its process, and its wires.
#[derive(Debug)]
pub struct RegionProcess {
    /// `weur`, …
    pub name: String,
    /// Its process.
    pub process: Workerd,
    /// On which it asks the hub.
    pub up: Link,
    /// On which the hub pushes to it.
    pub down: Link,
    /// On which gates read it.
    pub reads: Link,
    port: Port,
}

impl RegionProcess {
    /// Cuts both wires.
    pub fn part(&self) {
        self.up.cut();
        self.down.cut();
    }

    /// `host:port` of its process.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Mends both.
    pub fn join(&self) {
        self.up.mend();
        self.down.mend();
    }
}

/// Hub and regions in pieces, and the processes of all gates but the first.
#[derive(Debug)]
pub struct Spread {
    /// The hub's process.
    pub hub: Workerd,
    /// The regions; gate number n reads region n modulo their number.
    pub regions: Vec<RegionProcess>,
    /// The processes of all gates but the first.
    pub gates: Vec<Workerd>,
    hub_port: Port,
}

impl Spread {
    /// What the pieces know each other by.
    pub const UPLINK_KEY: &str = "harness-uplink-key-0123456789abcdefghij";

    /// Starts hub and regions, and gives the variables of each gate's process in turn.
    pub(crate) async fn start(
        regions: usize,
        folder: &Path,
        modules: &Path,
        vars: &[(String, String)],
        kv: Option<&str>,
    ) -> io::Result<Self> {
        let names = &NAMES[..regions];
        let hub_port = Port::reserve();
        let mut parts = Vec::new();
        let mut down_urls = Vec::new();
        for name in names {
            let port = Port::reserve();
            let (up, down, reads) = (
                Link::start(&hub_port.address()).await?,
                Link::start(&port.address()).await?,
                Link::start(&port.address()).await?,
            );
            down_urls.push(format!("{name}={}", down.url()));
            parts.push((*name, port, up, down, reads));
        }
        let start = |name: &str, port: &Port, objects: Objects, own: &[(&str, &str)]| {
            let mut vars = vars.to_vec();
            vars.retain(|(name, _)| name != "REGIONS");
            let all = [
                ("REGIONS", names.join(",")),
                ("UPLINK_KEY", Self::UPLINK_KEY.to_owned()),
            ];
            vars.extend(all.map(|(name, value)| (name.to_owned(), value)));
            vars.extend(
                own.iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            Workerd::start(WorkerdConfig {
                modules: modules.to_owned(),
                folder: folder.join(name),
                log: folder.join("logs").join(format!("{name}.log")),
                vars,
                gates: vec![port.address()],
                store: true,
                kv: kv.map(str::to_owned),
                objects,
                cache: false,
                environment: Vec::new(),
            })
        };
        let down_urls = down_urls.join(",");
        let mut hub = start("hub", &hub_port, Objects::Hub, &[("REGION_URL", &down_urls)])?;
        hub.wait().await?;
        let mut started = Vec::new();
        for (name, port, up, down, reads) in parts {
            let mut process = start(name, &port, Objects::Regions, &[("HUB_URL", up.url())])?;
            process.wait().await?;
            started.push(RegionProcess {
                name: name.to_owned(),
                process,
                up,
                down,
                reads,
                port,
            });
        }
        Ok(Self {
            hub,
            regions: started,
            gates: Vec::new(),
            hub_port,
        })
    }

    /// The variables of the process of one gate.
    pub(crate) fn gate_vars(&self, gate: usize, vars: &[(String, String)]) -> Vec<(String, String)> {
        let urls: Vec<String> = self
            .regions
            .iter()
            .map(|region| format!("{}={}", region.name, region.reads.url()))
            .collect();
        let names: Vec<&str> = self.regions.iter().map(|region| region.name.as_str()).collect();
        let own = [
            ("REGIONS", names.join(",")),
            ("HOME_REGION", names[gate % names.len()].to_owned()),
            ("UPLINK_KEY", Self::UPLINK_KEY.to_owned()),
            ("HUB_URL", self.hub_port.url()),
            ("REGION_URL", urls.join(",")),
        ];
        let mut vars = vars.to_vec();
        vars.retain(|(name, _)| !own.iter().any(|(other, _)| other == name));
        vars.extend(own.map(|(name, value)| (name.to_owned(), value)));
        vars
    }

    /// `host:port` of the hub's process.
    pub fn hub_address(&self) -> String {
        self.hub_port.address()
    }

    /// A region by its name.
    pub fn region(&mut self, name: &str) -> &mut RegionProcess {
        let mut regions = self.regions.iter_mut();
        regions.find(|region| region.name == name).expect("such a region")
    }
}

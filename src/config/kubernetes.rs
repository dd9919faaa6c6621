//! Variables that Kubernetes sets by itself for the Services of a namespace.

/// Whether Kubernetes sets the variable by itself, for a Service whose name begins with hallpass (its docs, "Accessing
/// the Service": `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT[_PORTNAME]`, and as Docker's links have it `NAME_PORT` and
/// `NAME_PORT_NUMBER_PROTOCOL[_PROTO|_PORT|_ADDR]`).
pub(super) fn sets(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") {
        return true;
    }
    if let Some((_, port_name)) = name.rsplit_once("_SERVICE_PORT") {
        return port_name.is_empty()
            || port_name
                .strip_prefix('_')
                .is_some_and(|name| !name.is_empty());
    }
    let is_link = name.rsplit_once("_PORT_").is_some_and(|(_, link)| {
        let mut parts = link.split('_');
        let number = parts
            .next()
            .is_some_and(|number| number.parse::<u16>().is_ok());
        let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
        let part = matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"));
        number && protocol && part && parts.next().is_none()
    });
    // Kubernetes sets a URL. A number is a user's attempt to set the port to listen on.
    is_link || (name.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_kubernetes_are_recognised_and_similar_ones_are_not() {
        for service in ["", "_METRICS", "_SERVICE", "_PORT_80"] {
            for (name, value) in [
                ("_SERVICE_HOST", "10.0.0.1"),
                ("_SERVICE_PORT", "8080"),
                ("_SERVICE_PORT_HTTP_METRICS", "9090"),
                ("_PORT", "tcp://10.0.0.1:8080"),
                ("_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
                ("_PORT_8080_TCP_PROTO", "tcp"),
                ("_PORT_8080_TCP_PORT", "8080"),
                ("_PORT_8080_TCP_ADDR", "10.0.0.1"),
                ("_PORT_53_UDP_ADDR", "10.0.0.1"),
            ] {
                let name = format!("HALLPASS{service}{name}");
                assert!(sets(&name, value), "{name}");
            }
        }
        for (name, value) in [
            ("HALLPASS_PORT", "8080"),
            ("HALLPASS_LISTEN_PORT", "8080"),
            ("HALLPASS_SERVICE", "x"),
            ("HALLPASS_SERVICE_PORTS", "8080"),
            ("HALLPASS_SERVICE_PORT_", "8080"),
            ("HALLPASS_PORT_8080", "8080"),
            ("HALLPASS_PORT_HTTP_TCP", "8080"),
            ("HALLPASS_PORT_8080_TCP_HOST", "8080"),
            ("HALLPASS_PORT_8080_TCP_ADDR_X", "8080"),
            ("HALLPASS_SERVICE_HOSTS", "x"),
        ] {
            assert!(!sets(name, value), "{name}");
        }
    }
}

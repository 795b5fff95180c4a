internal import CLinux

/// How host names become addresses.
public enum NameLookup {
    /// To be called before the first `getaddrinfo`, as often as one likes. In a static program names are then looked up by `/etc/hosts` and DNS
    /// alone: the plugins that `/etc/nsswitch.conf` may name (mdns, resolve, myhostname) belong to the system's C library, and loading one beside
    /// our own ends in a crash. In any other program it does nothing.
    @inline(never)
    public static func avoidPlugins() { precondition(once) }

    // A global of type Void crashes the optimizer of Swift 6.0.3 when another module uses it.
    private static let once: Bool = {
        clinux_look_up_names_without_plugins()
        return true
    }()
}

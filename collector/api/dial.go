package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/common/config"
)

const dialTimeout = 3 * time.Second

// errAddress is an address that is never dialled.
var errAddress = errors.New("refused address")

// Addresses that are refused beside the kinds that [netip.Addr] knows.
var (
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	awsMetadata = netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}) // fd00:ec2::254
)

// nat64 is the prefix under which an IPv6 network reaches IPv4 addresses (RFC 6052).
var nat64 = netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b}), 96)

// checkAddress refuses an address, after names were resolved, that no training service can have: link-local (where clouds
// serve their metadata and credentials), unspecified and multicast. IPv4 inside of IPv6 is looked at as IPv4.
func checkAddress(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w %q", errAddress, address)
	}
	ip := ap.Addr().WithZone("").Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast || ip == awsMetadata {
		return fmt.Errorf("%w %s", errAddress, ip)
	}
	return nil
}

// Dial is how the client connects: within seconds or not at all, and never to a forbidden address. It is for whatever else
// of a source reaches out, such as a pass-through, and safe for concurrent use.
func Dial() config.DialContextFunc {
	d := &net.Dialer{
		Timeout: dialTimeout, KeepAlive: 30 * time.Second,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error { return checkAddress(address) },
	}
	return d.DialContext
}

// dialToken is connect for the requests of an OAuth2 token. The library that makes them has no deadline and follows redirects:
// here a connection lives no longer than timeout, and goes to the hosts named in the configuration only.
func dialToken(connect config.DialContextFunc, hosts []string, timeout time.Duration) config.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		allowed := false
		for _, h := range hosts {
			allowed = allowed || h == address
		}
		if !allowed {
			return nil, fmt.Errorf("%w %s: the token service redirects; set token_url to the final address", errAddress, clean(address, 100))
		}
		conn, err := connect(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}

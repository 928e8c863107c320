// CoreDNS with the plugins that a cluster's names need. The module's own program has those of every cloud too, whose
// libraries take longer to compile than Kubernetes.
package main

import (
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	"github.com/coredns/coredns/coremain"
)

func main() {
	coremain.Run()
}

// newdriver calls a provider as driver v1.6.0 does: grpc-go 1.79.3, localhost as :authority.
package main

import "coffer/tests/wire/driver"

func main() { driver.Main(driver.Flavour{Name: "newdriver", Authority: "localhost"}) }

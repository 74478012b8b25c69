// olddriver calls a provider as drivers v1.4.0 to v1.5.6 do: grpc-go 1.56.3, the socket path as :authority.
package main

import "coffer/tests/wire/driver"

func main() { driver.Main(driver.Flavour{Name: "olddriver"}) }

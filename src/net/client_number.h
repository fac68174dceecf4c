// net/client_number.h
//
// What counts as one client, where what there is has to be shared (base/origin.h). It is who has
// shown a name that was verified (a certificate's, or, where the services know it, a user's),
// wherever he connects from: a name cannot be multiplied by who has it. Else it is the host, with
// all of its connections: these cost nothing, addresses do. Of IPv6 it is the network of 64 bits,
// as a host has all of its addresses. But on this machine, where proxies and gateways speak for
// others, it is the connection.
//
// Numbers: the same throughout the process, and not 0 but where it says so. A secret of the process
// is in them (base/keyed_hash.h): nobody can choose names, addresses or connections that would meet
// somebody else's in a table by hashes (base/shares.h). A user and a certificate of the same name
// are two clients.

#pragma once

#include <cstdint>
#include <string_view>

#include "net/address.h"

namespace keelson::net {

uint64_t client_of_user(std::string_view name);
uint64_t client_of_certificate(std::string_view common_name);
// 0: on this machine.
uint64_t client_at(const Address& address);
// `connection` tells it from every other that is open.
uint64_t client_of_connection(uint64_t connection);
// As PeerInfo has it: a number among a client's connections.
uint64_t connection_number(uint64_t connection);

}  // namespace keelson::net

// net/tls/identity.h
//
// Who a client's verified certificate says it is. Made once per handshake; immutable afterwards,
// shared by the connection and its calls.

#pragma once

#include <string>
#include <vector>

namespace keelson::net {

struct TlsIdentity {
  std::string common_name;  // the last one of the subject, as Go has it; may be empty
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::string serial;  // hexadecimal, without leading zeros
};

}  // namespace keelson::net

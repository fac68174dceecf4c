// outbound/channel_options.h
//
// What a channel to a server is made with (outbound/channel.h), for whoever does not see grpc++.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace keelson::outbound {

struct ChannelOptions {
  std::string cert, key;    // PEM files; both or none
  std::string cacert;       // PEM file; empty: the system's authorities
  std::string server_name;  // that certificates must have; empty: the endpoint's host
  bool skip_verify = false;
  // Endpoints without a scheme are spoken to in the clear if nothing above says TLS.
  bool insecure_transport = true;
  bool keepalive = true;       // else no pings
  Duration keepalive_time{0};  // at least ten seconds, as grpc-go has it
  Duration keepalive_timeout{0};
  bool keepalive_without_calls = false;
  Duration connect_timeout = std::chrono::milliseconds(200);  // of an attempt, at least
  Duration longest_backoff = std::chrono::milliseconds(500);  // between attempts to connect
  int64_t max_receive_bytes = 0;                              // 0: no limit
  std::string user_agent;                                     // ahead of grpc++'s own
};

}  // namespace keelson::outbound

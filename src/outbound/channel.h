// outbound/channel.h
//
// Channels of grpc++ to etcd's endpoints, in the spelling of etcd's clients: "host:port" or a URL,
// TLS by its scheme or where files for it are given.
//
// Threads: any. What grpc++ runs for a channel (threads, timers) begins with the first one.
// Errors: InvalidArgument for files that are not there or not both.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace keelson::outbound {

struct ChannelOptions {
  std::string cert, key;    // PEM files; both or none
  std::string cacert;       // PEM file; empty: the system's authorities
  std::string server_name;  // that certificates must have; empty: the endpoint's host
  bool skip_verify = false;
  // Endpoints without a scheme are spoken to in the clear if nothing above says TLS.
  bool insecure_transport = true;
  Duration keepalive_time{0};  // at least ten seconds, as grpc-go has it
  Duration keepalive_timeout{0};
  Duration connect_timeout = std::chrono::milliseconds(200);  // of an attempt, at least
  Duration longest_backoff = std::chrono::milliseconds(500);  // between attempts to connect
  int64_t max_receive_bytes = 0;                              // 0: no limit
  std::string user_agent;                                     // ahead of grpc++'s own
};

// Connects when it is first used.
absl::StatusOr<std::shared_ptr<grpc::Channel>> open_channel(const std::string& endpoint,
                                                            const ChannelOptions& options);

}  // namespace keelson::outbound

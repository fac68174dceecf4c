// outbound/channel.h
//
// Channels of grpc++ to etcd's endpoints, in the spelling of etcd's clients: "host:port" or a URL,
// TLS by its scheme or where files for it are given.
//
// Threads: any. What grpc++ runs for a channel (threads, timers) begins with the first one.
// Errors: InvalidArgument for files that are not there or not both.

#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "outbound/channel_options.h"

namespace keelson::outbound {

// Connects when it is first used.
absl::StatusOr<std::shared_ptr<grpc::Channel>> open_channel(const std::string& endpoint,
                                                            const ChannelOptions& options);

}  // namespace keelson::outbound

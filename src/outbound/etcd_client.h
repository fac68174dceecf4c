// outbound/etcd_client.h
//
// EtcdClient reads and writes a few keys of another cluster, of etcd or of Keelson: what a member
// does before it has one of its own.
//
// Threads: one caller; calls block for as long as their timeouts say. Not for lanes.
// Errors: what the server answered; Unavailable when no endpoint could be reached.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "outbound/channel.h"
#include "proto/rpc.pb.h"

namespace keelson::outbound {

struct EtcdClientOptions {
  std::vector<std::string> endpoints;  // not empty
  ChannelOptions channel;
  std::string user, password;   // with both, requests are this user's
  Duration dial_timeout{0};     // for each endpoint
  Duration request_timeout{0};  // for each request at an endpoint that is connected
};

class EtcdClient {
 public:
  static absl::StatusOr<std::unique_ptr<EtcdClient>> open(const EtcdClientOptions& options);

  absl::StatusOr<etcdserverpb::RangeResponse> range(const etcdserverpb::RangeRequest& request);
  absl::StatusOr<etcdserverpb::PutResponse> put(const etcdserverpb::PutRequest& request);

 private:
  explicit EtcdClient(const EtcdClientOptions& options) : options_(options) {}
  template <typename Response, typename Call>
  absl::StatusOr<Response> ask(Call call);
  template <typename Response, typename Call>
  absl::StatusOr<Response> ask_as_user(Call call);
  absl::Status log_in();

  const EtcdClientOptions options_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  size_t next_ = 0;  // < channels_.size(): the one to ask first
  std::string token_;
};

}  // namespace keelson::outbound

#include "outbound/etcd_client.h"

#include <chrono>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "proto/rpc.grpc.pb.h"

namespace keelson::outbound {
namespace {

namespace pb = etcdserverpb;

std::chrono::system_clock::time_point in(Duration time) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(time);
}

absl::Status to_status(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdClient>> EtcdClient::open(const EtcdClientOptions& options) {
  std::unique_ptr<EtcdClient> client(new EtcdClient(options));
  for (const std::string& endpoint : options.endpoints) {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
        open_channel(endpoint, options.channel);
    if (!channel.ok()) return channel.status();
    client->channels_.push_back(*std::move(channel));
  }
  if (client->channels_.empty()) {
    return absl::InvalidArgumentError("etcdclient: no available endpoints");
  }
  return client;
}

// At the endpoint that answered last, then at each of the others, until one can be reached.
template <typename Response, typename Call>
absl::StatusOr<Response> EtcdClient::ask(Call call) {
  absl::Status last = absl::UnavailableError("no endpoint can be reached");
  for (size_t tries = 0; tries < channels_.size(); ++tries) {
    const std::shared_ptr<grpc::Channel>& channel = channels_[next_];
    if (channel->WaitForConnected(in(options_.dial_timeout))) {
      grpc::ClientContext context;
      context.set_deadline(in(options_.request_timeout));
      if (!token_.empty()) context.AddMetadata("token", token_);
      Response response;
      const grpc::Status status = call(channel, &context, &response);
      if (status.ok()) return response;
      last = to_status(status);
      if (!absl::IsUnavailable(last) && !absl::IsDeadlineExceeded(last)) return last;
    }
    next_ = (next_ + 1) % channels_.size();
  }
  return last;
}

absl::Status EtcdClient::log_in() {
  if (options_.user.empty() || options_.password.empty()) return absl::OkStatus();
  token_.clear();
  pb::AuthenticateRequest request;
  request.set_name(options_.user);
  request.set_password(options_.password);
  absl::StatusOr<pb::AuthenticateResponse> response =
      ask<pb::AuthenticateResponse>([&](const auto& channel, grpc::ClientContext* c, auto* out) {
        return pb::Auth::NewStub(channel)->Authenticate(c, request, out);
      });
  if (response.ok()) return token_ = response->token(), absl::OkStatus();
  const bool off = message_of(response.status()) == message_of(errors::AuthNotEnabled());
  return off ? absl::OkStatus() : response.status();
}

// Tokens end, and belong to one member: then there is another.
template <typename Response, typename Call>
absl::StatusOr<Response> EtcdClient::ask_as_user(Call call) {
  if (token_.empty()) {
    if (absl::Status s = log_in(); !s.ok()) return s;
  }
  absl::StatusOr<Response> response = ask<Response>(call);
  if (!absl::IsUnauthenticated(response.status())) return response;
  if (absl::Status s = log_in(); !s.ok()) return s;
  return ask<Response>(call);
}

absl::StatusOr<pb::RangeResponse> EtcdClient::range(const pb::RangeRequest& request) {
  return ask_as_user<pb::RangeResponse>(
      [&](const auto& channel, grpc::ClientContext* c, auto* out) {
        return pb::KV::NewStub(channel)->Range(c, request, out);
      });
}

absl::StatusOr<pb::PutResponse> EtcdClient::put(const pb::PutRequest& request) {
  return ask_as_user<pb::PutResponse>([&](const auto& channel, grpc::ClientContext* c, auto* out) {
    return pb::KV::NewStub(channel)->Put(c, request, out);
  });
}

}  // namespace keelson::outbound

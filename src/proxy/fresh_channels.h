// proxy/fresh_channels.h
//
// FreshChannels looks whether the files of TLS that a client connects with have changed, and has it
// connect with what they say from then on. Files that cannot be used are said in the log, once, and
// the old stay in force (net/tls/fresh.h).
//
// Threads: create() and look() wait for the disk; one at a time.
// Lifetime: the client outlives it.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/tls/client_context.h"
#include "outbound/rpc_client.h"

namespace keelson::proxy {

class FreshChannels {
 public:
  // What else must hold of the files.
  using Rule = std::function<absl::Status()>;

  // Null: `channel` names no files. Errors: of files that cannot be used.
  static absl::StatusOr<std::unique_ptr<FreshChannels>> create(
      const outbound::ChannelOptions& channel, outbound::ClusterClient* client, Rule rule);

  void look();

 private:
  FreshChannels(std::shared_ptr<net::TlsClientContext> files, outbound::ClusterClient* client,
                Rule rule)
      : files_(std::move(files)),
        client_(*client),
        rule_(std::move(rule)),
        in_force_(files_->last()) {}
  absl::Status renew() const;

  const std::shared_ptr<net::TlsClientContext> files_;  // shared as its maker has it
  outbound::ClusterClient& client_;
  const Rule rule_;
  // Of what the client connects with, or was last refused.
  std::shared_ptr<const net::TlsClientState> in_force_;
};

// How a client's channels are in the words of net/tls.
net::TlsSettings tls_settings_of(const outbound::ChannelOptions& channel);

}  // namespace keelson::proxy

#include "proxy/fresh_channels.h"

#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace keelson::proxy {

net::TlsSettings tls_settings_of(const outbound::ChannelOptions& channel) {
  return {.cert_file = channel.cert,
          .key_file = channel.key,
          .trusted_ca_file = channel.cacert,
          .insecure_skip_verify = channel.skip_verify};
}

absl::StatusOr<std::unique_ptr<FreshChannels>> FreshChannels::create(
    const outbound::ChannelOptions& channel, outbound::ClusterClient* client, Rule rule) {
  if (channel.cert.empty() && channel.cacert.empty()) return nullptr;
  auto files = net::TlsClientContext::create(tls_settings_of(channel));
  if (!files.ok()) return files.status();
  return std::unique_ptr<FreshChannels>(
      new FreshChannels(*std::move(files), client, std::move(rule)));
}

absl::Status FreshChannels::renew() const {
  if (absl::Status s = rule_(); !s.ok()) return s;
  return client_.renew();
}

void FreshChannels::look() {
  std::shared_ptr<const net::TlsClientState> now = files_->current();
  if (now == in_force_) return;
  in_force_ = std::move(now);
  if (absl::Status s = renew(); !s.ok()) {
    log::warn("cannot connect with changed TLS files; going on with the old",
              {{"error", message_of(s)}});
  }
}

}  // namespace keelson::proxy

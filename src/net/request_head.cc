#include "net/request_head.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "net/grpc_codec.h"

namespace keelson::net {
namespace {

std::string_view view(nghttp2_rcbuf* buffer) {
  if (!buffer) return {};
  nghttp2_vec vec = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(vec.base), vec.len};
}

nghttp2_rcbuf* shared(nghttp2_rcbuf* buffer) {
  nghttp2_rcbuf_incref(buffer);
  return buffer;
}

const uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// Not shown as metadata (grpc-go's reserved names), besides the known ones.
bool is_reserved(std::string_view name) {
  switch (name.size()) {
    case 2:
      return name == "te";
    case 10:
      return name == "user-agent";
    case 11:
      return name == "grpc-status";
    case 12:
      return name == "grpc-message";
    case 17:
      return name == "grpc-message-type";
    case 20:
      return name == "grpc-accept-encoding";
    default:
      return false;
  }
}

}  // namespace

void RequestHead::swap(RequestHead& other) {
  std::swap(known_, other.known_);
  fields_.swap(other.fields_);
  std::swap(bytes_, other.bytes_);
  std::swap(hosts_, other.hosts_);
  std::swap(regular_seen_, other.regular_seen_);
  std::swap(fault_, other.fault_);
}

void RequestHead::clear() {
  for (Field& field : fields_) {
    nghttp2_rcbuf_decref(field.name);
    nghttp2_rcbuf_decref(field.value);
  }
  fields_.clear();
  if (fields_.capacity() > kKeptFields) std::vector<Field>().swap(fields_);
  for (nghttp2_rcbuf*& buffer : known_) {
    if (buffer) nghttp2_rcbuf_decref(std::exchange(buffer, nullptr));
  }
  bytes_ = hosts_ = 0;
  regular_seen_ = false;
  fault_ = Fault::kNone;
}

int RequestHead::known_index(std::string_view name) {
  switch (name.size()) {
    case 4:
      return name == "host" ? kHost : -1;
    case 5:
      return name == ":path" ? kPath : -1;
    case 7:
      return name == ":method" ? kMethod : name == ":scheme" ? kScheme : -1;
    case 10:
      return name == ":authority" ? kAuthority : -1;
    case 12:
      return name == "content-type" ? kContentType : name == "grpc-timeout" ? kTimeout : -1;
    case 13:
      return name == "grpc-encoding" ? kEncoding : -1;
    default:
      return -1;
  }
}

void RequestHead::add(nghttp2_rcbuf* name, nghttp2_rcbuf* value, size_t limit) {
  if (fault_ != Fault::kNone) return;
  const std::string_view text = view(name);
  const std::string_view content = view(value);
  bytes_ += text.size() + content.size() + 32;
  if (bytes_ > limit) {
    fault_ = Fault::kTooLong;
    return;
  }
  if (!nghttp2_check_header_name(bytes_of(text), text.size()) ||
      !nghttp2_check_header_value(bytes_of(content), content.size())) {
    fault_ = Fault::kMalformed;
    return;
  }
  if (text[0] == ':') return take_pseudo(text, value);
  regular_seen_ = true;
  // The one field of a connection's own that grpc-go refuses.
  if (text == "connection") {
    fault_ = Fault::kMalformed;
    return;
  }
  const int index = known_index(text);
  if (index == kHost) ++hosts_;
  if (index < 0) {
    fields_.push_back({shared(name), shared(value), {}});
    return;
  }
  if (known_[index]) nghttp2_rcbuf_decref(known_[index]);
  known_[index] = shared(value);
}

void RequestHead::take_pseudo(std::string_view name, nghttp2_rcbuf* value) {
  const int index = known_index(name);
  if (index < 0 || known_[index] || regular_seen_) {
    fault_ = Fault::kMalformed;
    return;
  }
  known_[index] = shared(value);
}

std::string_view RequestHead::known(Known which) const { return view(known_[which]); }

std::string_view RequestHead::authority() const {
  return known(known_[kAuthority] ? kAuthority : kHost);
}

void RequestHead::each(absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  for (const Field& field : fields_) visit(view(field.name), view(field.value));
}

std::optional<std::string_view> RequestHead::metadata(std::string_view name) const {
  if (is_reserved(name)) return std::nullopt;
  for (const Field& field : fields_) {
    if (view(field.name) != name) continue;
    return name.ends_with("-bin") ? std::string_view(field.decoded) : view(field.value);
  }
  return std::nullopt;
}

void RequestHead::each_metadata(
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  for (const Field& field : fields_) {
    if (!is_reserved(view(field.name))) visit(view(field.name), view(field.value));
  }
}

absl::Status RequestHead::decode_binary() {
  for (Field& field : fields_) {
    if (!view(field.name).ends_with("-bin")) continue;
    if (!decode_base64(view(field.value), &field.decoded)) {
      return absl::InternalError(cat("malformed binary metadata ", quoted(view(field.value)),
                                     " in header ", quoted(view(field.name)),
                                     ": illegal base64 data"));
    }
  }
  return absl::OkStatus();
}

}  // namespace keelson::net

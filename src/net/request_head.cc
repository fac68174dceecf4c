#include "net/request_head.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "net/grpc_codec.h"
#include "net/pools.h"

namespace keelson::net {
namespace {

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

struct RequestHead::Block {
  struct Field {
    uint32_t at;  // in `text`: the name, and behind it the value
    uint32_t name;
    uint32_t value;  // their lengths
    int32_t known;   // Known, or RequestField::kOther
  };
  static constexpr int32_t kNone = -1;
  static constexpr size_t kFieldsKept = 32;

  std::string_view name_of(const Field& field) const {
    return std::string_view(text).substr(field.at, field.name);
  }
  std::string_view value_of(const Field& field) const {
    return std::string_view(text).substr(field.at + field.name, field.value);
  }
  void empty() {
    empty_out(&text, kRoomKept);
    empty_out(&fields, kFieldsKept);
    empty_out(&binary, 4);
    std::fill(std::begin(known), std::end(known), kNone);
    bytes = hosts = 0;
    regular_seen = decoded = false;
    fault = Fault::kNone;
  }

  uint32_t holders = 1;  // >= 1 while it is in use; all of one thread
  std::string text;
  std::vector<Field> fields;
  int32_t known[kKnownCount] = {kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone};  // places
  size_t bytes = 0;
  size_t hosts = 0;
  bool regular_seen = false;  // no pseudo-header field may follow
  Fault fault = Fault::kNone;

  bool decoded = false;  // `binary` and `undecoded` say what the "-bin" values are
  std::vector<std::pair<int32_t, std::string>> binary;  // by the place of the field
  absl::Status undecoded;
};

RequestHead::Block* RequestHead::make_block() {
  Block* const block = FreeList<Block>::take();
  if (!block) return new Block;
  block->holders = 1;
  return block;
}

void RequestHead::let_go(Block* block) {
  CHECK(block->holders > 0);
  if (--block->holders > 0) return;
  block->empty();
  FreeList<Block>::put(block);
}

RequestHead::RequestHead(const RequestHead& other) : block_(other.block_) {
  if (block_) ++block_->holders;
}

RequestHead& RequestHead::operator=(const RequestHead& other) {
  RequestHead copy(other);
  swap(copy);
  return *this;
}

void RequestHead::clear() {
  if (block_) let_go(std::exchange(block_, nullptr));
}

void RequestHead::add(std::string_view name, std::string_view value, int8_t sort, size_t limit) {
  if (!block_) block_ = make_block();
  Block& block = *block_;
  CHECK(block.holders == 1);
  CHECK(sort != RequestField::kUnseen);
  if (block.fault != Fault::kNone) return;
  block.bytes += name.size() + value.size() + kFieldCost;
  if (block.bytes > limit) {
    block.fault = Fault::kTooLong;
    return;
  }
  const bool pseudo = sort >= 0 && sort <= kLastPseudo;
  if (sort == RequestField::kWrong ||
      (pseudo && (block.known[sort] != Block::kNone || block.regular_seen))) {
    block.fault = Fault::kMalformed;
    return;
  }
  if (!pseudo) block.regular_seen = true;
  if (sort == kHost) ++block.hosts;
  if (sort >= 0) block.known[sort] = static_cast<int32_t>(block.fields.size());
  block.fields.push_back({static_cast<uint32_t>(block.text.size()),
                          static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size()),
                          sort});
  if (name.data() + name.size() == value.data()) {
    block.text.append(name.data(), name.size() + value.size());
  } else {
    block.text.append(name).append(value);
  }
}

void RequestHead::end_too_long() {
  if (!block_) block_ = make_block();
  CHECK(block_->holders == 1);
  if (block_->fault == Fault::kNone) block_->fault = Fault::kTooLong;
}

RequestHead::Fault RequestHead::fault() const { return block_ ? block_->fault : Fault::kNone; }

size_t RequestHead::bytes() const { return block_ ? block_->bytes : 0; }

size_t RequestHead::hosts() const { return block_ ? block_->hosts : 0; }

bool RequestHead::has(Known which) const { return block_ && block_->known[which] != Block::kNone; }

std::string_view RequestHead::known(Known which) const {
  if (!has(which)) return {};
  return block_->value_of(block_->fields[static_cast<size_t>(block_->known[which])]);
}

std::string_view RequestHead::authority() const {
  return known(has(kAuthority) ? kAuthority : kHost);
}

void RequestHead::each(absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  if (!block_) return;
  for (const Block::Field& field : block_->fields) {
    if (field.known < 0) visit(block_->name_of(field), block_->value_of(field));
  }
}

std::optional<std::string_view> RequestHead::metadata(std::string_view name) const {
  if (!block_ || is_reserved(name)) return std::nullopt;
  for (size_t i = 0; i < block_->fields.size(); ++i) {
    const Block::Field& field = block_->fields[i];
    if (field.known >= 0 || block_->name_of(field) != name) continue;
    if (!name.ends_with("-bin")) return block_->value_of(field);
    for (const auto& [place, bytes] : block_->binary) {
      if (place == static_cast<int32_t>(i)) return bytes;
    }
    return std::string_view();
  }
  return std::nullopt;
}

void RequestHead::each_metadata(
    absl::FunctionRef<void(std::string_view, std::string_view)> visit) const {
  each([&](std::string_view name, std::string_view value) {
    if (!is_reserved(name)) visit(name, value);
  });
}

// The same for all who share the block.
absl::Status RequestHead::decode_binary() {
  if (!block_ || block_->decoded) return block_ ? block_->undecoded : absl::OkStatus();
  Block& block = *block_;
  block.decoded = true;
  block.undecoded = absl::OkStatus();
  for (size_t i = 0; i < block.fields.size(); ++i) {
    const Block::Field& field = block.fields[i];
    const std::string_view name = block.name_of(field), value = block.value_of(field);
    if (field.known >= 0 || !name.ends_with("-bin")) continue;
    std::string bytes;
    if (!decode_base64(value, &bytes)) {
      block.undecoded =
          absl::InternalError(cat("malformed binary metadata ", quoted(value), " in header ",
                                  quoted(name), ": illegal base64 data"));
      break;
    }
    block.binary.emplace_back(static_cast<int32_t>(i), std::move(bytes));
  }
  return block.undecoded;
}

}  // namespace keelson::net

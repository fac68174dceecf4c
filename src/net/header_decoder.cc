#include "net/header_decoder.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/decoded_fields.h"
#include "net/hpack_huffman.h"

namespace keelson::net {
namespace {

// What is remembered of a connection's last request is as long as this at most.
constexpr size_t kLongestBlock = 128;
constexpr size_t kLongestHead = 2048;

// What the first byte of a field says (RFC 7541, 6).
constexpr uint8_t kIndexed = 0x80;
constexpr uint8_t kKept = 0x40;
constexpr uint8_t kResize = 0x20;
constexpr uint8_t kNever = 0x10;

constexpr uint8_t kCoded = 0x80;  // of a text

// Texts up to so many bytes are decoded without a detour.
constexpr size_t kUsualText = 512;

// One that is spelled out.
struct Text {
  const char* at = nullptr;
  size_t size = 0;  // as it comes; perhaps not all of it is there
  bool coded = false;

  size_t least() const { return coded ? least_decoded(size) : size; }
  // Room that decoding it takes.
  size_t room() const { return coded ? most_decoded(size) : 0; }
  // Into `room` if that is needed, which is moved on then. Nullopt: it is no code.
  std::optional<std::string_view> spell(char** room) const {
    if (!coded) return std::string_view(at, size);
    const std::optional<size_t> bytes = decode_huffman({at, size}, *room);
    if (!bytes) return std::nullopt;
    *room += *bytes;
    return std::string_view(*room - *bytes, *bytes);
  }
};

}  // namespace

struct HeaderDecoder::Input {
  const uint8_t* at;
  const uint8_t* end;

  size_t left() const { return static_cast<size_t>(end - at); }
  // A number that begins in so many bits of the first byte (RFC 7541, 5.1). Five more bytes are
  // taken at most, and 32 bits.
  Step number(int bits, uint32_t* out) {
    if (at == end) return Step::kMore;
    const uint32_t most = (1u << bits) - 1;
    const uint32_t first = *at & most;
    if (first == most) return long_number(most, out);
    ++at;
    *out = first;
    return Step::kDone;
  }
  // What it is, and how long, but not itself.
  Step begin_text(Text* out) {
    if (at == end) return Step::kMore;
    out->coded = *at & kCoded;
    uint32_t size = 0;
    const Step step = number(7, &size);
    out->at = reinterpret_cast<const char*>(at);
    out->size = size;
    return step;
  }

 private:
  Step long_number(uint64_t value, uint32_t* out) {
    const uint8_t* next = at + 1;
    uint8_t byte = 0x80;
    for (int shift = 0; byte & 0x80; shift += 7) {
      if (shift > 28) return Step::kBroken;
      if (next == end) return Step::kMore;
      byte = *next++;
      value += uint64_t{byte & 0x7fu} << shift;
    }
    if (value > UINT32_MAX) return Step::kBroken;
    at = next;
    *out = static_cast<uint32_t>(value);
    return Step::kDone;
  }
};

struct HeaderDecoder::Literal {
  bool keeps = false;
  bool sensitive = false;
  bool has_value = false;         // `value` has begun
  uint32_t index = 0;             // of a field in the table that has its name …
  std::string_view indexed_name;  // … which is this; or 0, and `name`
  Text name;
  Text value;
};

HeaderDecoder::HeaderDecoder(size_t limit) : limit_(limit), prints_(prints_decoded_fields()) {}

bool HeaderDecoder::take(std::string_view part, bool first, bool last, RequestHead* head) {
  if (head && first && last && !last_block_.empty() && part == last_block_) {
    *head = last_;
    return true;
  }
  if (first) begin_block();
  RequestHead nobodys;
  std::string whole;  // what was held, and the part
  std::string_view left = part;
  if (!rest_.empty()) {
    whole = std::exchange(rest_, {});
    left = whole.append(part);
  }
  if (!unfold(&left, !head && prints_ ? &nobodys : head)) return false;
  if (last) {
    if (!left.empty() || to_pass_ > 0 || passes_value_) return false;
    end_block(first ? part : std::string_view(), head);
  } else if (whole.empty()) {
    rest_ = left;
  } else if (left.size() >= whole.size() / 2) {
    whole.erase(0, whole.size() - left.size());
    rest_ = std::move(whole);
  } else {
    rest_ = left;  // and the room for all of it goes
  }
  return true;
}

void HeaderDecoder::begin_block() {
  CHECK(rest_.empty() && to_pass_ == 0 && !passes_value_);
  changes_ = false;
  may_resize_ = true;
}

// `block`: if it came in one part.
void HeaderDecoder::end_block(std::string_view block, const RequestHead* head) {
  if (changes_) {
    last_block_.clear();
    last_.clear();
  } else if (head && !prints_ && block.size() <= kLongestBlock &&
             head->fault() == RequestHead::Fault::kNone && head->bytes() <= kLongestHead) {
    last_ = *head;
    last_block_ = block;
  }
}

inline void HeaderDecoder::add(const HpackTable::Field& field, bool sensitive,
                               RequestHead* head) const {
  if (prints_) print_decoded_field(field.name, field.value, sensitive);
  head->add(field.name, field.value, field.sort, limit_);
}

inline HeaderDecoder::Step HeaderDecoder::indexed(Input* in, RequestHead* head) {
  uint32_t index = 0;
  if (const Step step = in->number(7, &index); step != Step::kDone) return step;
  if (index == 0 || index > table_.last()) return Step::kBroken;
  if (!head || !head->takes_more()) return Step::kDone;
  HpackTable::Field field = table_.at(index);
  if (field.sort == RequestField::kUnseen) {
    field.sort = RequestField::sort(field.name, field.value);
    table_.set_sort(index, field.sort);
  }
  add(field, false, head);
  return Step::kDone;
}

inline HeaderDecoder::Step HeaderDecoder::field(Input* in, RequestHead* head) {
  const uint8_t byte = *in->at;
  if ((byte & (kIndexed | kKept | kResize)) == kResize) return resize(in);
  may_resize_ = false;
  return byte & kIndexed ? indexed(in, head) : literal(in, head);
}

// Takes off `block` what can be unfolded.
bool HeaderDecoder::unfold(std::string_view* block, RequestHead* head) {
  const auto* const begin = reinterpret_cast<const uint8_t*>(block->data());
  Input in{begin, begin + block->size()};
  Step step = Step::kDone;
  while (step == Step::kDone && in.at != in.end) {
    step = to_pass_ > 0 || passes_value_ ? pass_over(&in) : field(&in, head);
  }
  block->remove_prefix(block->size() - in.left());
  return step != Step::kBroken;
}

// At the beginning of a block only, and at most what we allow, which is what all begin with.
HeaderDecoder::Step HeaderDecoder::resize(Input* in) {
  uint32_t bytes = 0;
  if (const Step step = in->number(5, &bytes); step != Step::kDone) return step;
  if (!may_resize_ || bytes > HpackTable::kMost) return Step::kBroken;
  changes_ = true;
  table_.set_limit(bytes);
  return Step::kDone;
}

// ---- what is spelled out

HeaderDecoder::Step HeaderDecoder::literal(Input* in, RequestHead* head) {
  Literal l;
  l.keeps = *in->at & kKept;
  l.sensitive = !l.keeps && (*in->at & kNever);
  Input at = *in;
  if (const Step step = at.number(l.keeps ? 6 : 4, &l.index); step != Step::kDone) return step;
  if (l.index > table_.last()) return Step::kBroken;
  if (l.index > 0) {
    l.indexed_name = table_.at(l.index).name;
  } else {
    if (const Step step = at.begin_text(&l.name); step != Step::kDone) return step;
    if (!wanted(l, head)) {
      *in = at;
      return begin_to_pass(l, head);
    }
    if (l.name.size > at.left()) return Step::kMore;
    at.at += l.name.size;
  }
  if (const Step step = at.begin_text(&l.value); step != Step::kDone) return step;
  l.has_value = true;
  if (!wanted(l, head)) {
    *in = at;
    return begin_to_pass(l, head);
  }
  if (l.value.size > at.left()) return Step::kMore;
  at.at += l.value.size;
  *in = at;
  return end_literal(l, head) ? Step::kDone : Step::kBroken;
}

// Whether it may belong into the head, or the table, as far as it is known.
bool HeaderDecoder::wanted(const Literal& literal, const RequestHead* head) const {
  const size_t bytes = literal.indexed_name.size() + literal.name.least() + literal.value.least();
  return (head && head->takes(bytes, limit_)) ||
         (literal.keeps && bytes + HpackTable::kFieldCost <= table_.limit());
}

HeaderDecoder::Step HeaderDecoder::begin_to_pass(const Literal& literal, RequestHead* head) {
  to_pass_ = literal.has_value ? literal.value.size : literal.name.size;
  passes_value_ = !literal.has_value;
  changes_ |= literal.keeps;
  if (literal.keeps) table_.clear();
  if (head) head->end_too_long();
  return Step::kDone;
}

HeaderDecoder::Step HeaderDecoder::pass_over(Input* in) {
  if (to_pass_ == 0) {
    Text value;
    if (const Step step = in->begin_text(&value); step != Step::kDone) return step;
    passes_value_ = false;
    to_pass_ = value.size;
  }
  const size_t bytes = std::min(to_pass_, in->left());
  to_pass_ -= bytes;
  in->at += bytes;
  return Step::kDone;
}

// False: it is not what the code allows.
bool HeaderDecoder::end_literal(const Literal& literal, RequestHead* head) {
  char usual[kUsualText];
  std::unique_ptr<char[]> large;
  char* room = usual;
  if (const size_t most = literal.name.room() + literal.value.room(); most > sizeof usual) {
    large = std::make_unique_for_overwrite<char[]>(most);
    room = large.get();
  }
  const std::optional<std::string_view> name =
      literal.index > 0 ? literal.indexed_name : literal.name.spell(&room);
  const std::optional<std::string_view> value = name ? literal.value.spell(&room) : std::nullopt;
  if (!value) return false;
  const bool is_looked_at = head && head->takes_more();
  const int8_t sort = is_looked_at ? RequestField::sort(*name, *value) : RequestField::kUnseen;
  if (is_looked_at) add({*name, *value, sort}, literal.sensitive, head);
  if (!literal.keeps) return true;
  changes_ = true;
  table_.add(*name, *value, sort);
  return true;
}

}  // namespace keelson::net

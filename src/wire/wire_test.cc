// Each hand-written codec against its slow twin, libprotobuf: what we write it reads back field by
// field (and writes alike), what it writes we read, and no bytes at all make a decoder misbehave.

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>

#include "base/crc32c.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "proto/raft.pb.h"
#include "proto/raft_internal.pb.h"
#include "proto/snap.pb.h"
#include "proto/wal.pb.h"
#include "wire/internal_request.h"
#include "wire/logged_message.h"
#include "wire/raft_codec.h"
#include "wire/test_odd_fields.h"
#include "wire/wal_record.h"

namespace keelson::wire {
namespace {

class WireTest : public testing::Test {
 protected:
  // Calls `round` over and over, on randomness of one seed after the other.
  template <typename Round>
  void rounds(Round&& round) {
    for_each_seed(60, [&](uint64_t seed) {
      random_ = SeededRandom(seed);
      for (int i = 0; i < 50 && !HasFailure(); ++i) round();
    });
  }

  // Numbers of every length, zero often.
  uint64_t number() {
    if (random_.below(4) == 0) return 0;
    return random_.next() >> random_.below(64);
  }
  std::string text(size_t most) {
    std::string out(random_.below(most + 1), '\0');
    for (char& c : out) c = static_cast<char>(random_.next());
    return out;
  }
  std::vector<MemberId> members() {
    std::vector<MemberId> out(random_.below(4));
    for (MemberId& member : out) member = MemberId(number());
    return out;
  }

  raft::Entry entry() {
    raft::Entry e;
    e.type = static_cast<raft::EntryType>(random_.below(3));
    e.type_set = e.type != raft::EntryType::kNormal || random_.below(2) == 0;
    e.term = Term(number() | 1);
    e.index = Index(number() | 1);
    e.data = Bytes::copy(text(random_.below(10) == 0 ? 5000 : 40));
    e.data_set = !e.data.empty() || random_.below(2) == 0;
    return e;
  }
  raft::ConfState conf_state() {
    return {members(), members(), members(), members(), random_.below(2) == 0};
  }
  raft::Snapshot snapshot() {
    return {Bytes::copy(text(60)), {conf_state(), Index(number()), Term(number())}};
  }
  raft::Message message(bool with_responses) {
    raft::Message m;
    m.type = static_cast<raft::MessageType>(random_.below(raft::kMessageTypes));
    m.reject = random_.below(2) == 0;
    m.to = MemberId(number());
    m.from = MemberId(number());
    m.term = Term(number());
    m.log_term = Term(number());
    m.index = Index(number());
    std::vector<raft::Entry> entries(random_.below(4));
    for (raft::Entry& e : entries) e = entry();
    m.entries = raft::Entries(std::move(entries));
    m.commit = Index(number());
    m.vote = MemberId(number());
    if (random_.below(3) == 0) m.snapshot = std::make_shared<const raft::Snapshot>(snapshot());
    m.reject_hint = Index(number());
    m.context = Bytes::copy(text(20));
    if (with_responses) m.responses = {message(false), message(false)};
    return m;
  }

  // Damaged copies of `good` must decode or be refused, but never crash; the sanitizers watch.
  template <typename Decode>
  void damage(const std::string& good, Decode decode) {
    for (int i = 0; i < 4; ++i) {
      std::string bad = good;
      if (!bad.empty()) bad[random_.below(bad.size())] ^= static_cast<char>(1 << random_.below(8));
      if (random_.below(3) == 0) bad.resize(random_.below(bad.size() + 1));
      decode(Bytes::copy(bad));
    }
    decode(Bytes::copy(text(30)));
  }

  SeededRandom random_{0};
};

// Reads `bytes` with libprotobuf; what it writes of that must be the same bytes, so ours are in
// canonical order and nothing is written twice.
template <typename Proto>
Proto parse_canonical(const Bytes& bytes) {
  Proto proto;
  EXPECT_TRUE(proto.ParseFromString(bytes.str()));
  EXPECT_EQ(proto.SerializeAsString(), bytes.str());
  return proto;
}

void expect_same(const raft::Entry& entry, const raftpb::Entry& proto) {
  EXPECT_EQ(proto.type(), static_cast<int>(entry.type));
  EXPECT_EQ(proto.has_type(), entry.type_set);
  EXPECT_EQ(proto.term(), entry.term.value);
  EXPECT_EQ(proto.index(), entry.index.value);
  EXPECT_EQ(proto.data(), entry.data.str());
  EXPECT_EQ(proto.has_data(), entry.data_set);
}

void expect_same(const std::vector<MemberId>& members,
                 const google::protobuf::RepeatedField<uint64_t>& proto) {
  ASSERT_EQ(static_cast<size_t>(proto.size()), members.size());
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(proto.Get(static_cast<int>(i)), members[i].value);
  }
}

void expect_same(const raft::ConfState& conf, const raftpb::ConfState& proto) {
  expect_same(conf.voters, proto.voters());
  expect_same(conf.learners, proto.learners());
  expect_same(conf.voters_outgoing, proto.voters_outgoing());
  expect_same(conf.learners_next, proto.learners_next());
  EXPECT_EQ(proto.auto_leave(), conf.auto_leave);
}

void expect_same(const raft::Message& m, const raftpb::Message& proto) {
  EXPECT_EQ(proto.type(), static_cast<int>(m.type));
  EXPECT_EQ(proto.to(), m.to.value);
  EXPECT_EQ(proto.from(), m.from.value);
  EXPECT_EQ(proto.term(), m.term.value);
  EXPECT_EQ(proto.logterm(), m.log_term.value);
  EXPECT_EQ(proto.index(), m.index.value);
  EXPECT_EQ(proto.commit(), m.commit.value);
  EXPECT_EQ(proto.vote(), m.vote.value);
  EXPECT_EQ(proto.reject(), m.reject);
  EXPECT_EQ(proto.rejecthint(), m.reject_hint.value);
  EXPECT_EQ(proto.context(), m.context.str());
  ASSERT_EQ(static_cast<size_t>(proto.entries_size()), m.entries.size());
  for (size_t i = 0; i < m.entries.size(); ++i) {
    expect_same(m.entries[i], proto.entries(static_cast<int>(i)));
  }
  ASSERT_EQ(proto.has_snapshot(), m.snapshot != nullptr);
  if (m.snapshot) {
    EXPECT_EQ(proto.snapshot().data(), m.snapshot->data.str());
    EXPECT_EQ(proto.snapshot().metadata().index(), m.snapshot->metadata.index.value);
    EXPECT_EQ(proto.snapshot().metadata().term(), m.snapshot->metadata.term.value);
    expect_same(m.snapshot->metadata.conf_state, proto.snapshot().metadata().conf_state());
  }
  ASSERT_EQ(static_cast<size_t>(proto.responses_size()), m.responses.size());
  for (size_t i = 0; i < m.responses.size(); ++i) {
    expect_same(m.responses[i], proto.responses(static_cast<int>(i)));
  }
}

void expect_equal(const raft::Message& a, const raft::Message& b) {
  EXPECT_EQ(encode(a), encode(b));
  EXPECT_EQ(a.entries, b.entries);
  EXPECT_EQ(a.responses.size(), b.responses.size());
}

TEST_F(WireTest, Entry) {
  rounds([&] {
    raft::Entry e = entry();
    Bytes bytes = encode(e);
    EXPECT_EQ(bytes.size(), raft::encoded_size(e));
    expect_same(e, parse_canonical<raftpb::Entry>(bytes));
    absl::StatusOr<raft::Entry> back = decode_entry(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, e);
    damage(bytes.str(), [](const Bytes& bad) { decode_entry(bad).IgnoreError(); });
  });
}

TEST_F(WireTest, EntryPayloadSharesItsBlock) {
  raft::Entry e;
  e.data = Bytes::copy("payload");
  Bytes bytes = encode(e);
  absl::StatusOr<raft::Entry> back = decode_entry(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_GE(back->data.data(), bytes.data());
  EXPECT_LE(back->data.data() + back->data.size(), bytes.data() + bytes.size());
}

TEST_F(WireTest, HardState) {
  rounds([&] {
    raft::HardState state{Term(number()), MemberId(number()), Index(number())};
    Bytes bytes = Bytes::build(wire_size(state), [&](char* out) { write(out, state); });
    auto proto = parse_canonical<raftpb::HardState>(bytes);
    EXPECT_TRUE(proto.has_term() && proto.has_vote() && proto.has_commit());
    EXPECT_EQ(proto.term(), state.term.value);
    EXPECT_EQ(proto.vote(), state.vote.value);
    EXPECT_EQ(proto.commit(), state.commit.value);
    EXPECT_EQ(*decode_hard_state(bytes), state);
    damage(bytes.str(), [](const Bytes& bad) { decode_hard_state(bad).IgnoreError(); });
  });
}

TEST_F(WireTest, ConfStateAlsoPacked) {
  rounds([&] {
    raft::ConfState conf = conf_state();
    Bytes bytes = Bytes::build(wire_size(conf), [&](char* out) { write(out, conf); });
    expect_same(conf, parse_canonical<raftpb::ConfState>(bytes));
    EXPECT_EQ(*decode_conf_state(bytes), conf);

    std::string packed;
    for (MemberId voter : conf.voters) pb::append_varint(packed, voter.value);
    std::string whole;
    pb::append_bytes_field(whole, 1, packed);
    EXPECT_EQ(decode_conf_state(whole)->voters, conf.voters);
    damage(whole, [](const Bytes& bad) { decode_conf_state(bad).IgnoreError(); });
  });
}

TEST_F(WireTest, Snapshot) {
  rounds([&] {
    raft::Snapshot s = snapshot();
    Bytes bytes = encode(s);
    parse_canonical<raftpb::Snapshot>(bytes);
    EXPECT_EQ(*decode_snapshot(bytes), s);

    Bytes file = wrap_snap_file(bytes);
    auto proto = parse_canonical<snappb::snapshot>(file);
    EXPECT_EQ(proto.data(), bytes.str());
    EXPECT_EQ(proto.crc(), crc32c::extend(0, bytes));
    EXPECT_EQ(*unwrap_snap_file(file), bytes);
    damage(file.str(), [&](const Bytes& bad) {
      absl::StatusOr<Bytes> content = unwrap_snap_file(bad);
      if (content.ok()) {
        EXPECT_EQ(*content, bytes);
      }
    });
  });
}

TEST_F(WireTest, Message) {
  rounds([&] {
    raft::Message m = message(random_.below(3) == 0);
    Bytes bytes = encode(m);
    expect_same(m, parse_canonical<raftpb::Message>(bytes));
    absl::StatusOr<raft::Message> back = decode_message(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    expect_equal(*back, m);
    damage(bytes.str(), [](const Bytes& bad) { decode_message(bad).IgnoreError(); });
  });
}

// What gogo's marshaller (etcd 3.5) writes: every number, also zero, and an empty snapshot.
TEST_F(WireTest, MessageWithEveryFieldWritten) {
  raftpb::Message proto;
  proto.set_type(raftpb::MsgApp);
  proto.set_to(0);
  proto.set_from(0);
  proto.set_term(0);
  proto.set_logterm(0);
  proto.set_index(0);
  proto.set_commit(0);
  proto.set_vote(0);
  proto.set_reject(false);
  proto.set_rejecthint(0);
  proto.mutable_snapshot()->mutable_metadata()->mutable_conf_state()->set_auto_leave(false);
  absl::StatusOr<raft::Message> m = decode_message(Bytes::copy(proto.SerializeAsString()));
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->type, raft::MessageType::kMsgApp);
  EXPECT_TRUE(raft::is_empty(m->snapshot));
}

TEST_F(WireTest, MessageRefusals) {
  auto refused = [](const std::string& bytes) {
    return decode_message(Bytes::copy(bytes)).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused("\x08\x18"));  // type 24
  EXPECT_TRUE(refused("\x38\x01"));  // entries as a number
  EXPECT_TRUE(refused("\x12\x00"));  // `to` as bytes
  std::string nested;
  for (int i = 0; i < 10; ++i) {
    std::string outer;
    pb::append_bytes_field(outer, 14, nested);
    nested = outer;
  }
  EXPECT_TRUE(refused(nested));
}

TEST_F(WireTest, Record) {
  rounds([&] {
    auto chain = static_cast<uint32_t>(random_.next());
    std::string data = text(300);
    const uint32_t expected = crc32c::extend(chain, data);
    std::string buffer(kMaxRecordOverhead + data.size(), 'x');
    char* end = write_record(buffer.data(), RecordType::kEntry, &chain, data.size(),
                             [&](char* out) { std::memcpy(out, data.data(), data.size()); });
    buffer.resize(static_cast<size_t>(end - buffer.data()));

    auto proto = parse_canonical<walpb::Record>(Bytes::copy(buffer));
    EXPECT_EQ(proto.type(), 2);
    EXPECT_EQ(proto.crc(), expected);
    EXPECT_EQ(proto.data(), data);
    absl::StatusOr<Record> back = decode_record(buffer);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->crc, expected);
    EXPECT_EQ(back->data, data);

    // A damaged head is never another record of the same form that claims the same bytes, unless
    // only its type or its sum changed: those the log checks.
    damage(buffer, [](const Bytes& bad) {
      absl::StatusOr<Record> record = decode_record(bad);
      if (record.ok()) {
        EXPECT_LE(record->data.size(), bad.size());
      }
    });
  });
}

TEST_F(WireTest, CrcRecord) {
  for (uint32_t crc : {0u, 1u, 127u, 128u, 0xffffffffu}) {
    char buffer[16];
    std::string bytes(buffer, static_cast<size_t>(write_crc_record(buffer, crc) - buffer));
    auto proto = parse_canonical<walpb::Record>(Bytes::copy(bytes));
    EXPECT_EQ(proto.type(), 4);
    EXPECT_TRUE(proto.has_crc());
    EXPECT_EQ(proto.crc(), crc);
    absl::StatusOr<Record> back = decode_record(bytes);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->type, RecordType::kCrc);
    EXPECT_EQ(back->crc, crc);
    EXPECT_FALSE(decode_record(bytes + std::string("\x1a\x00", 2)).ok());
  }
}

TEST_F(WireTest, WalSnapshotAndMetadata) {
  rounds([&] {
    WalSnapshot mark{Index(number()), Term(number()), std::nullopt};
    if (random_.below(2) == 0) mark.conf_state = conf_state();
    Bytes bytes = encode(mark);
    auto proto = parse_canonical<walpb::Snapshot>(bytes);
    EXPECT_TRUE(proto.has_index() && proto.has_term());
    EXPECT_EQ(*decode_wal_snapshot(bytes), mark);
    damage(bytes.str(), [](const Bytes& bad) { decode_wal_snapshot(bad).IgnoreError(); });

    WalMetadata metadata{MemberId(number()), ClusterId(number())};
    EXPECT_EQ(*decode_wal_metadata(encode(metadata)), metadata);
  });
}

TEST_F(WireTest, InternalRequest) {
  rounds([&] {
    etcdserverpb::InternalRaftRequest proto;
    proto.mutable_header()->set_id(number());
    if (random_.below(2) == 0) proto.mutable_header()->set_username("root");
    proto.mutable_header()->set_auth_revision(number());
    std::string body;
    InternalKind kind = InternalKind::kNone;
    switch (random_.below(3)) {
      case 0:
        kind = InternalKind::kPut;
        proto.mutable_put()->set_key(text(20));
        proto.mutable_put()->set_value(text(200));
        body = proto.put().SerializeAsString();
        break;
      case 1:
        kind = InternalKind::kClusterVersionSet;
        proto.mutable_cluster_version_set()->set_ver("3.7.0");
        body = proto.cluster_version_set().SerializeAsString();
        break;
    }
    const auto& header = proto.header();
    Bytes bytes = wrap_internal(header.id(), header.username(), header.auth_revision(), kind, body);
    EXPECT_EQ(bytes.str(), proto.SerializeAsString());

    absl::StatusOr<InternalRequest> back = unwrap_internal(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->id, header.id());
    EXPECT_EQ(back->username, header.username());
    EXPECT_EQ(back->auth_revision, header.auth_revision());
    EXPECT_EQ(back->kind, kind);
    EXPECT_EQ(back->body, body);
    damage(bytes.str(), [](const Bytes& bad) { unwrap_internal(bad).IgnoreError(); });
  });
}

// What etcd 3.5 writes when a member publishes itself.
TEST_F(WireTest, BareV2Request) {
  std::string payload(
      "\x08\x81\x02\x12\x03PUT\x1a\x0a/0/version\x22\x05"
      "3.5.0\x28\x00\x32\x00",
      31);
  absl::StatusOr<InternalRequest> request = unwrap_internal(payload);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, InternalKind::kV2);
  EXPECT_EQ(request->id, 257u);
  EXPECT_EQ(request->body, payload);
}

TEST_F(WireTest, InternalKindsAreTheSchemasNumbers) {
  const auto* descriptor = etcdserverpb::InternalRaftRequest::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (field->name() == "ID" || field->name() == "header") continue;
    EXPECT_EQ(name_of(static_cast<InternalKind>(field->number())), field->name());
  }
}

template <typename Reader>
bool reads(std::string_view bytes) {
  Reader reader(bytes);
  for (pb::Field field; reader.next(&field);) continue;
  return reader.ok();
}

TEST(LoggedReader, TakesWhatGogoTakes) {
  for (const OddField& odd : odd_fields()) {
    EXPECT_TRUE(reads<pb::LoggedReader>(odd.bytes)) << odd.what;
    EXPECT_EQ(reads<pb::Reader>(odd.bytes), odd.known_to_all) << odd.what;
  }
  for (const OddField& refused : refused_fields()) {
    EXPECT_FALSE(reads<pb::LoggedReader>(refused.bytes)) << refused.what;
    EXPECT_FALSE(reads<pb::Reader>(refused.bytes)) << refused.what;
  }
}

TEST(LoggedReader, ANumberIsWhat32BitsHold) {
  pb::LoggedReader reader(varint_text(1ull << 35 | 3 << 3) + "\7");
  pb::Field field;
  ASSERT_TRUE(reader.next(&field));
  EXPECT_TRUE(field.is(3, pb::kVarint));
  EXPECT_EQ(field.value, 7u);
}

TEST(LoggedMessage, UnknownFieldsChangeNothing) {
  etcdserverpb::AuthRoleGrantPermissionRequest want;
  want.set_name("r");
  want.mutable_perm()->set_permtype(authpb::Permission::READWRITE);
  want.mutable_perm()->set_key("k");
  for (const OddField& odd : odd_fields()) {
    std::string bytes;
    pb::append_bytes_field(bytes, 2, want.perm().SerializeAsString() + odd.bytes);
    pb::append_bytes_field(bytes, 1, "r");
    etcdserverpb::AuthRoleGrantPermissionRequest got;
    ASSERT_TRUE(read_logged(bytes + odd.bytes, &got)) << odd.what;
    EXPECT_EQ(got.SerializeAsString(), want.SerializeAsString()) << odd.what;
  }
  for (const OddField& refused : refused_fields()) {
    std::string bytes;
    pb::append_bytes_field(bytes, 2, refused.bytes);
    etcdserverpb::AuthRoleGrantPermissionRequest got;
    EXPECT_FALSE(read_logged(bytes, &got)) << refused.what;
    EXPECT_FALSE(read_logged(refused.bytes, &got)) << refused.what;
  }
}

TEST(LoggedMessage, AStringIsAnyBytes) {
  std::string bytes;
  for (std::string_view role : {"r\xff", "\xed\xa0\x80", ""}) {
    pb::append_bytes_field(bytes, 3, role);
  }
  authpb::User user;
  ASSERT_TRUE(read_logged(bytes, &user));
  ASSERT_EQ(user.roles_size(), 3);
  EXPECT_EQ(user.roles(0), "r\xff");
  EXPECT_EQ(user.SerializeAsString(), bytes);
}

// What both take they read in the same way.
TEST_F(WireTest, LoggedMessage) {
  rounds([&] {
    etcdserverpb::LeaseCheckpointRequest checkpoints;
    for (uint64_t n = random_.below(3); n > 0; --n) {
      auto* one = checkpoints.add_checkpoints();
      one->set_id(static_cast<int64_t>(number()));
      one->set_remaining_ttl(static_cast<int64_t>(number()));
    }
    etcdserverpb::AlarmRequest alarm;
    alarm.set_action(static_cast<etcdserverpb::AlarmRequest_AlarmAction>(number()));
    alarm.set_memberid(number());
    etcdserverpb::AuthUserAddRequest user;
    user.set_name("u");
    user.mutable_options()->set_no_password(random_.below(2) == 0);
    for (const google::protobuf::Message* message :
         std::initializer_list<const google::protobuf::Message*>{&checkpoints, &alarm, &user}) {
      std::unique_ptr<google::protobuf::Message> got(message->New());
      ASSERT_TRUE(read_logged(message->SerializeAsString(), got.get()));
      EXPECT_EQ(got->SerializeAsString(), message->SerializeAsString());
    }
  });
}

}  // namespace
}  // namespace keelson::wire

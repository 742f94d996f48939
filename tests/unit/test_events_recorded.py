"""The event shapes, compared with AWS's own events: names, their order, and types.

Each sample has the fields of an event recorded at or published by AWS, with values of our own.
"""

import json
from typing import Any

import pytest
from retrofill.events import compile_shape

from tests.unit.test_events import CONTEXT, ITEM, changed

VERSIONED = changed(ITEM, version_id="096fKKXTRTtl3on89fVO.nfljtsv6qko")

S3 = """{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"eu-west-1",
"eventTime":"2019-09-03T19:37:27.192Z","eventName":"ObjectCreated:Put",
"userIdentity":{"principalId":"AWS:AIDAEXAMPLE"},
"requestParameters":{"sourceIPAddress":"203.0.113.1"},
"responseElements":{"x-amz-request-id":"D82B88E5F771F645","x-amz-id-2":"vlR7PnpV2Ce81l0PRw6j="},
"s3":{"s3SchemaVersion":"1.0","configurationId":"828aa6fc","bucket":{"name":"photos",
"ownerIdentity":{"principalId":"A3I5XTEXAMAI3E"},"arn":"arn:aws:s3:::photos"},
"object":{"key":"red+flower.jpg","size":1305107,"eTag":"b21b84d653bb07b05b1e6b33684dc11b",
"versionId":"096fKKX","sequencer":"0C0F6F405D6ED209E1"}}}]}"""

SQS = """{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEB",
"body":"{}","attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183",
"SenderId":"AIDAEXAMPLE","ApproximateFirstReceiveTimestamp":"1545082649185"},
"messageAttributes":{},"md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",
"eventSourceARN":"arn:aws:sqs:us-east-2:123456789012:q","awsRegion":"us-east-2"}]}"""

# AWS's own example has the same fields in another order; this is the order that functions log.
SNS = """{"Records":[{"EventSource":"aws:sns","EventVersion":"1.0",
"EventSubscriptionArn":"arn:aws:sns:us-east-2:123456789012:t:21be56ed","Sns":{
"Type":"Notification","MessageId":"95df01b4-ee98-5cb9-9903-4c221d41eb5e",
"TopicArn":"arn:aws:sns:us-east-2:123456789012:t","Subject":"Amazon S3 Notification",
"Message":"{}","Timestamp":"2019-01-02T12:45:07.000Z","SignatureVersion":"1",
"Signature":"tcc6faL2yUC6dgZdmrwh1Y4cGa==","SigningCertUrl":"https://sns.us-east-2.amazonaws.com",
"UnsubscribeUrl":"https://sns.us-east-2.amazonaws.com","MessageAttributes":{}}}]}"""

SNS_IN_SQS = """{
  "Type" : "Notification",
  "MessageId" : "d88d4479-6ec0-54fe-b63f-1cf9df4bb16e",
  "TopicArn" : "arn:aws:sns:eu-west-1:123456789012:t",
  "Subject" : "Amazon S3 Notification",
  "Message" : "{}",
  "Timestamp" : "2021-01-19T10:07:07.287Z",
  "SignatureVersion" : "1",
  "Signature" : "tEo2i6Lw6==",
  "SigningCertURL" : "https://sns.eu-west-1.amazonaws.com",
  "UnsubscribeURL" : "https://sns.eu-west-1.amazonaws.com"
}"""

# Without a subject, SNS sends null to Lambda and no field to a queue
# (https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html).
SNS_WITHOUT_SUBJECT = SNS.replace('"Amazon S3 Notification"', "null")
SNS_WITHOUT_SUBJECT_IN_SQS = SNS_IN_SQS.replace('  "Subject" : "Amazon S3 Notification",\n', "")

EVENTBRIDGE = """{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103",
"detail-type":"Object Created","source":"aws.s3","account":"111122223333",
"time":"2021-11-12T00:00:00Z","region":"ca-central-1","resources":["arn:aws:s3:::photos"],
"detail":{"version":"0","bucket":{"name":"photos"},"object":{"key":"example-key","size":5,
"etag":"b1946ac92492d2347c6235b4d2611184","version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
"sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R","requester":"123456789012",
"source-ip-address":"203.0.113.1","reason":"PutObject"}}"""

BATCH_1_0 = """{"invocationSchemaVersion":"1.0","invocationId":"YXNkbGZqYWRmaiBhc2Rm",
"job":{"id":"f3cc4f60-61f6-4a2b-8a21-d07600c373ce"},"tasks":[{"taskId":"dGFza2lkZ29lc2hlcmUK",
"s3Key":"customerImage1.jpg","s3VersionId":"1","s3BucketArn":"arn:aws:s3:::photos"}]}"""

BATCH_2_0 = """{"invocationSchemaVersion":"2.0","invocationId":"YXNkbGZqYWRmaiBhc2Rm",
"job":{"id":"f3cc4f60-61f6-4a2b-8a21-d07600c373ce"},"tasks":[{"taskId":"dGFza2lkZ29lc2hlcmUK",
"s3Key":"a/b.gz","s3VersionId":null,"s3Bucket":"photos"}]}"""


def outline(value: Any) -> Any:
    """Return names in their order, with types instead of values."""
    if isinstance(value, dict):
        return [(name, outline(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [outline(inner) for inner in value]
    return type(value).__name__


def event(name: str, item: Any = VERSIONED) -> Any:
    shape = compile_shape(name, CONTEXT)
    return json.loads(shape.body([item]))


@pytest.mark.parametrize(
    ("ours", "recorded"),
    [
        pytest.param(event("s3"), S3, id="s3"),
        pytest.param(event("s3-sqs"), SQS, id="s3-sqs"),
        pytest.param(json.loads(event("s3-sqs")["Records"][0]["body"]), S3, id="s3 in sqs"),
        pytest.param(event("s3-sns"), SNS, id="s3-sns"),
        pytest.param(
            json.loads(event("s3-sns")["Records"][0]["Sns"]["Message"]), S3, id="s3 in sns"
        ),
        pytest.param(event("s3-sns-sqs"), SQS, id="s3-sns-sqs"),
        pytest.param(
            json.loads(event("s3-sns-sqs")["Records"][0]["body"]), SNS_IN_SQS, id="sns in sqs"
        ),
        pytest.param(event("eventbridge"), EVENTBRIDGE, id="eventbridge"),
        pytest.param(event("eventbridge-sqs"), SQS, id="eventbridge-sqs"),
        pytest.param(
            json.loads(event("eventbridge-sqs")["Records"][0]["body"]),
            EVENTBRIDGE,
            id="eventbridge in sqs",
        ),
        pytest.param(event("eventbridge-sns"), SNS_WITHOUT_SUBJECT, id="eventbridge-sns"),
        pytest.param(
            json.loads(event("eventbridge-sns")["Records"][0]["Sns"]["Message"]),
            EVENTBRIDGE,
            id="eventbridge in sns",
        ),
        pytest.param(event("eventbridge-sns-sqs"), SQS, id="eventbridge-sns-sqs"),
        pytest.param(
            json.loads(event("eventbridge-sns-sqs")["Records"][0]["body"]),
            SNS_WITHOUT_SUBJECT_IN_SQS,
            id="sns of eventbridge in sqs",
        ),
        pytest.param(event("s3-batch-1.0"), BATCH_1_0, id="s3-batch-1.0"),
        pytest.param(event("s3-batch-2.0", ITEM), BATCH_2_0, id="s3-batch-2.0"),
    ],
)
def test_names_order_and_types_equal_those_of_aws(ours: object, recorded: str) -> None:
    assert outline(ours) == outline(json.loads(recorded))


def test_sns_to_sqs_keeps_its_whitespace() -> None:
    body = event("s3-sns-sqs")["Records"][0]["body"]
    recorded = [line.partition(" : ")[0] for line in SNS_IN_SQS.splitlines()]
    assert [line.partition(" : ")[0] for line in body.splitlines()] == recorded


@pytest.mark.parametrize("name", ["s3", "s3-sqs", "s3-sns", "s3-sns-sqs", "eventbridge"])
def test_unversioned_buckets_give_no_version(name: str) -> None:
    assert "ersion-id" not in json.dumps(event(name, ITEM))
    assert "versionId" not in json.dumps(event(name, ITEM))

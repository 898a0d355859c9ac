namespace Sallyport.Protocol.Errors;

/// <summary>
/// One refusal as every head says it: Azure's numeric code and name, the HTTP status, the AMQP condition and what MQTT does.
/// The catalogue is <see cref="HubErrors"/>; <c>docs/errors.md</c> is written from it by a test.
/// </summary>
/// <param name="Code">Azure IoT Hub's six digits, for example 401003.</param>
/// <param name="Name">Azure's name for it, for example <c>IotHubUnauthorized</c>; goes into <c>iothub-errorcode</c> and the body.</param>
/// <param name="HttpStatus">The status of an HTTP answer.</param>
/// <param name="AmqpCondition">The symbol in an AMQP error.</param>
/// <param name="MqttOutcome">What an MQTT 3.1.1 client sees, in words.</param>
/// <param name="Meaning">What happened and what to do, in a sentence.</param>
public sealed record HubError(int Code, string Name, int HttpStatus, string AmqpCondition, string MqttOutcome, string Meaning);

/// <summary>Every refusal there is. Names and codes are Azure IoT Hub's (troubleshoot-error-codes), ours only where it has none.</summary>
public static class HubErrors
{
    public static readonly HubError ArgumentInvalid = new(400004, "ArgumentInvalid", 400, "com.microsoft:argument-error", "connection closed", "A value in the request is not valid; the message names it.");
    public static readonly HubError ArgumentNull = new(400005, "ArgumentNull", 400, "com.microsoft:argument-error", "does not occur", "A value that the request needs is missing; the message names it.");
    public static readonly HubError FormatError = new(400006, "IotHubFormatError", 400, "com.microsoft:argument-error", "connection closed", "The request could not be parsed; the message says where.");
    public static readonly HubError DeviceDefinedMultipleTimes = new(400011, "DeviceDefinedMultipleTimes", 400, "com.microsoft:argument-error", "does not occur", "A bulk request names the same identity twice.");
    public static readonly HubError BulkRegistryOperationFailure = new(400013, "BulkRegistryOperationFailure", 400, "com.microsoft:argument-error", "does not occur", "Some items of a bulk request were refused; the body lists them.");
    public static readonly HubError ConnectionForcefullyClosedOnNewConnection = new(400027, "ConnectionForcefullyClosedOnNewConnection", 400, "amqp:link:stolen", "connection closed", "The same identity connected again; the newer connection wins.");
    public static readonly HubError IotHubNotFound = new(401001, "IotHubNotFound", 401, "com.microsoft:iot-hub-not-found-error", "CONNACK 5", "The host in the credential is not a name of this hub; add it with --host.");
    public static readonly HubError UnauthorizedAccess = new(401002, "IotHubUnauthorizedAccess", 401, "amqp:unauthorized-access", "CONNACK 5", "The credential is valid but does not hold the right that this needs.");
    public static readonly HubError Unauthorized = new(401003, "IotHubUnauthorized", 401, "amqp:unauthorized-access", "CONNACK 5", "The credential was refused; renew the token or certificate and reconnect.");
    public static readonly HubError QuotaExceeded = new(403002, "IotHubQuotaExceeded", 403, "com.microsoft:quota-exceeded", "no PUBACK, then connection closed", "The hub takes no more telemetry now: its disk is full or held back at its bound.");
    public static readonly HubError JobQuotaExceeded = new(403003, "JobQuotaExceeded", 403, "com.microsoft:quota-exceeded", "does not occur", "An import or export of identities is under way, and there is one at a time; wait until it ends, or cancel it.");
    public static readonly HubError DeviceMaximumQueueDepthExceeded = new(403004, "DeviceMaximumQueueDepthExceeded", 403, "amqp:resource-limit-exceeded", "does not occur", "As many cloud-to-device messages wait for the device as may; let it complete some, or purge its queue.");
    public static readonly HubError DeviceMaximumActiveFileUploads = new(403006, "DeviceMaximumActiveFileUploadLimitExceeded", 403, "amqp:resource-limit-exceeded", "does not occur", "As many file uploads of the device are under way as may; let it report one as done, or wait until the URI of one has ended.");
    public static readonly HubError TooManyConfigurations = new(403009, "ConfigurationQuotaExceeded", 403, "com.microsoft:quota-exceeded", "does not occur", "The hub holds as many automatic configurations as it may; delete one.");
    public static readonly HubError DeviceNotFound = new(404001, "DeviceNotFound", 404, "amqp:not-found", "CONNACK 5", "There is no such device, or it is disabled.");
    public static readonly HubError JobNotFound = new(404002, "JobNotFound", 404, "amqp:not-found", "does not occur", "There is no such job, or it was made by somebody who reaches more devices than the caller.");
    public static readonly HubError ModuleNotFound = new(404010, "ModuleNotFound", 404, "amqp:not-found", "CONNACK 5", "There is no such module on the device.");
    public static readonly HubError DeviceNotOnline = new(404103, "DeviceNotOnline", 404, "amqp:not-found", "does not occur", "The device is not connected, does not take methods, or is in quarantine; nothing was sent to it.");
    public static readonly HubError DeviceConnectionClosedRemotely = new(404104, "DeviceConnectionClosedRemotely", 404, "amqp:connection:forced", "connection closed", "The device fell silent: no CONNECT in time, or nothing within one and a half times its keep-alive.");
    public static readonly HubError ConfigurationNotFound = new(404011, "ConfigurationNotFound", 404, "amqp:not-found", "does not occur", "There is no automatic configuration of that id.");
    public static readonly HubError NotFound = new(404000, "NotFound", 404, "amqp:not-found", "connection closed", "There is no such resource.");
    public static readonly HubError MethodNotAllowed = new(405000, "MethodNotAllowed", 405, "amqp:not-allowed", "does not occur", "The resource does not know the HTTP method; the Allow header names those it knows.");
    public static readonly HubError DeviceAlreadyExists = new(409001, "DeviceAlreadyExists", 409, "com.microsoft:device-already-exists", "does not occur", "A device of that id is registered already; send If-Match to update it.");
    public static readonly HubError JobAlreadyExists = new(409007, "JobAlreadyExists", 409, "com.microsoft:argument-error", "does not occur", "A job of that id exists already, or existed within the last 30 days.");
    public static readonly HubError ModuleAlreadyExists = new(409301, "ModuleAlreadyExistsOnDevice", 409, "com.microsoft:device-already-exists", "does not occur", "A module of that id is registered already; send If-Match to update it.");
    public static readonly HubError Conflict = new(409000, "Conflict", 409, "com.microsoft:argument-error", "does not occur", "A resource of that name exists already, or another identity has that key or thumbprint.");
    public static readonly HubError PreconditionFailed = new(412001, "PreconditionFailed", 412, "com.microsoft:precondition-failed", "does not occur", "The ETag in If-Match is not the current one; read again and retry.");
    public static readonly HubError DeviceMessageLockLost = new(412002, "DeviceMessageLockLost", 412, "com.microsoft:message-lock-lost", "does not occur", "The lock on the message has ended: it was settled, purged, or waits for the next delivery.");
    public static readonly HubError MessageTooLarge = new(413001, "MessageTooLarge", 413, "amqp:link:message-size-exceeded", "connection closed", "A device-to-cloud message or batch is larger than 256 KB, or a cloud-to-device message larger than 64 KB.");
    public static readonly HubError TooManyDevices = new(413002, "TooManyDevices", 413, "amqp:resource-limit-exceeded", "does not occur", "The hub holds as many devices as it may.");
    public static readonly HubError TooManyModules = new(413003, "TooManyModulesOnDevice", 413, "amqp:resource-limit-exceeded", "does not occur", "The device has as many modules as it may (50).");
    public static readonly HubError Throttled = new(429001, "ThrottlingException", 429, "com.microsoft:device-container-throttled", "reading stops; connection closed after 20 s", "More requests than the limit allows; retry later.");
    public static readonly HubError MaxActiveJobCountExceeded = new(429004, "ThrottlingMaxActiveJobCountExceeded", 429, "com.microsoft:device-container-throttled", "does not occur", "As many jobs are scheduled, queued or running as may; wait until one ends, or cancel one.");
    public static readonly HubError ServerError = new(500001, "ServerError", 500, "amqp:internal-error", "connection closed", "The hub failed; its log has the correlation id.");
    public static readonly HubError NotImplemented = new(501000, "NotImplemented", 501, "amqp:not-implemented", "does not occur", "This hub does not have the feature yet.");
    public static readonly HubError BadDeviceResponse = new(502001, "BadDeviceResponse", 502, "amqp:internal-error", "does not occur", "The device answered a method with something that is no answer: a status that is no number, a payload that is not JSON or larger than 128 KB.");
    public static readonly HubError ServiceUnavailable = new(503001, "ServiceUnavailable", 503, "com.microsoft:timeout", "CONNACK 3", "The hub is starting, stopping or at a bound; retry.");
    public static readonly HubError GatewayTimeout = new(504101, "GatewayTimeout", 504, "com.microsoft:timeout", "does not occur", "The device did not answer the method in time, or went before it did; it may have run it.");
}

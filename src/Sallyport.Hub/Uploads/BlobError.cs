namespace Sallyport.Hub.Uploads;

/// <summary>A refusal of the blob endpoint as Azure Storage's clients know it: status, code and a sentence.</summary>
public sealed record BlobError(int HttpStatus, string Code, string Message);

/// <summary>Every refusal of the blob endpoint. Codes are Azure Storage's ("Blob service error codes").</summary>
public static class BlobErrors
{
    public static readonly BlobError AuthenticationFailed = new(403, "AuthenticationFailed", "The signature is missing, wrong or over, or what it was made for is closed: the upload was reported, or its device may not send any more.");
    public static readonly BlobError PermissionMismatch = new(403, "AuthorizationPermissionMismatch", "The signature is not for this: that of an upload writes, and that of a service reads.");
    public static readonly BlobError ResourceMismatch = new(403, "AuthorizationResourceTypeMismatch", "The signature is for another file.");
    public static readonly BlobError BlobNotFound = new(404, "BlobNotFound", "There is no such file.");
    public static readonly BlobError UnsupportedVerb = new(405, "UnsupportedHttpVerb", "This blob endpoint knows Put Blob, Put Block, Put Block List, Get Blob and Get Blob Properties.");
    public static readonly BlobError AlreadyExists = new(409, "BlobAlreadyExists", "There is a file of this name, and If-None-Match: * was sent.");
    public static readonly BlobError LengthRequired = new(411, "MissingContentLengthHeader", "The body needs a Content-Length.");
    public static readonly BlobError ConditionNotMet = new(412, "ConditionNotMet", "The condition in the headers is not met.");
    public static readonly BlobError BodyTooLarge = new(413, "RequestBodyTooLarge", "The body, or the file with it, is larger than this hub takes.");
    public static readonly BlobError InvalidRange = new(416, "InvalidRange", "The file has no such range.");
    public static readonly BlobError InvalidQuery = new(400, "InvalidQueryParameterValue", "A value in the query is not valid: comp and blockid are as Put Block and Put Block List have them.");
    public static readonly BlobError InvalidBlockId = new(400, "InvalidBlockId", "A block id is base64 of 1 to 64 bytes.");
    public static readonly BlobError InvalidBlockList = new(400, "InvalidBlockList", "The list names a block that was not put, or too many.");
    public static readonly BlobError InvalidXml = new(400, "InvalidXmlDocument", "The list of blocks is not the XML of Put Block List.");
    public static readonly BlobError TooManyBlocks = new(409, "BlockCountExceedsLimit", "The upload has as many blocks as it may.");
    public static readonly BlobError InvalidHeader = new(400, "InvalidHeaderValue", "A header is not as Azure Storage has it: x-ms-blob-type is BlockBlob, Content-Length is that of the body and not 0 for a block, digests are base64.");
    public static readonly BlobError UnsupportedHeader = new(400, "UnsupportedHeader", "A header asks for what this blob endpoint does not do.");
    public static readonly BlobError Md5Mismatch = new(400, "Md5Mismatch", "The body is not that of Content-MD5.");
    public static readonly BlobError Crc64Mismatch = new(400, "Crc64Mismatch", "The body is not that of x-ms-content-crc64.");
    public static readonly BlobError InternalError = new(500, "InternalError", "The hub failed; its log has the request id.");
    public static readonly BlobError ServerBusy = new(503, "ServerBusy", "As many bodies are being received as may be; retry.");
    public static readonly BlobError OutOfRoom = new(507, "InsufficientStorage", "There is no room for more: the disk, or what this device or all devices may have there, is used up.");
}

/// <summary>A request that the blob endpoint refuses; caught in one place and answered as XML. Never used for the hub's own mistakes.</summary>
public sealed class BlobException(BlobError error) : Exception(error.Message)
{
    public BlobError Error { get; } = error;
}
